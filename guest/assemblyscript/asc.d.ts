/**
 * The part of AssemblyScript's compiler that the kit uses. The package's own declarations make
 * the guest's globals (`i32`, a `console` of its own) those of every file that is checked with
 * them, so `tsconfig.json` puts these in their place.
 */

/** Where the compiler writes its messages. */
export interface OutputStream {
  write(chunk: Uint8Array | string): void;
}

/** What the compiler asks of its surroundings, in place of the file system. */
export interface Surroundings {
  stdout?: OutputStream;
  stderr?: OutputStream;
  readFile?(name: string, baseDir: string): string | null | Promise<string | null>;
  writeFile?(name: string, contents: Uint8Array | string, baseDir: string): void | Promise<void>;
  listFiles?(folder: string, baseDir: string): string[] | null | Promise<string[] | null>;
}

/** Runs the compiler as its command line does. A mistake in the source comes back as `error`; its messages are on `stderr`. */
export function main(args: string[], surroundings?: Surroundings): Promise<{ error: Error | null }>;
