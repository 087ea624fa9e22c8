/**
 * Module binaries as files that are named after their contents: `sha256/ab/ab12….wasm`.
 *
 * @module
 */

import { randomBytes } from "node:crypto";
import { mkdir, open, readdir, readFile, rename, rm, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { leatError } from "../errors.ts";
import type { ModuleStore } from "./module-store.ts";

const digestPattern = /^sha256:([0-9a-f]{2})[0-9a-f]{62}$/;

/** Told of a file that is no use any more and was set aside. */
export type OnSetAside = (notice: { digest: string; file: string; to: string; problem: string }) => void;

/**
 * Keeps binaries in a folder. A file appears under its name when all of it is on the disk, and is checked against its
 * name whenever it is read.
 */
export class FileModuleStore implements ModuleStore {
  readonly #folder: string;
  readonly #digestOf: (bytes: Uint8Array) => Promise<string>;
  readonly #onSetAside: OnSetAside;

  /**
   * @param digestOf - gives `sha256:` and 64 hex digits
   * @param onSetAside - is told of each file that was renamed because it is broken
   */
  constructor(
    folder: string,
    digestOf: (bytes: Uint8Array) => Promise<string>,
    onSetAside: OnSetAside = () => {},
  ) {
    this.#folder = folder;
    this.#digestOf = digestOf;
    this.#onSetAside = onSetAside;
  }

  async put(digest: string, wasm: Uint8Array): Promise<void> {
    const file = this.#fileOf(digest);
    const whole = await this.get(digest).catch(() => undefined);
    if (whole !== undefined) return;
    const folder = dirname(file);
    const partial = `${file}.${randomBytes(6).toString("hex")}.partial`;
    try {
      const first = await mkdir(folder, { recursive: true, mode: 0o700 });
      await writeDurably(partial, wasm);
      await rename(partial, file);
      await syncFolders(folder, first);
    } catch (cause) {
      await rm(partial, { force: true }).catch(() => undefined);
      throw leatError("STORE_UNAVAILABLE", { problem: (cause as Error).message }, { cause });
    }
  }

  /** @throws LeatError MODULE_FILE_BROKEN when the file is not what its name says: it is set aside then */
  async get(digest: string): Promise<Uint8Array | undefined> {
    const file = this.#fileOf(digest);
    let bytes: Uint8Array;
    try {
      bytes = await readFile(file);
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw leatError("MODULE_FILE_BROKEN", { digest, problem: (cause as Error).message }, { cause });
    }
    const found = await this.#digestOf(bytes);
    if (found === digest) return bytes;
    const problem = `its ${bytes.length} bytes have the digest ${found}`;
    const to = `${file}.broken-${new Date().toISOString().replaceAll(/[:.]/g, "-")}`;
    await rename(file, to).catch(() => undefined);
    this.#onSetAside({ digest, file, to, problem });
    throw leatError("MODULE_FILE_BROKEN", { digest, problem });
  }

  async delete(digest: string): Promise<void> {
    await unlink(this.#fileOf(digest)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw leatError("STORE_UNAVAILABLE", { problem: error.message });
    });
  }

  /** Removes what an interrupted write has left, and gives the sizes of the files there are by digest. */
  async sizes(): Promise<ReadonlyMap<string, number>> {
    const sizes = new Map<string, number>();
    for (const shard of await entriesOf(join(this.#folder, "sha256"))) {
      const folder = join(this.#folder, "sha256", shard);
      for (const name of await entriesOf(folder)) {
        const file = join(folder, name);
        if (name.endsWith(".partial")) await rm(file, { force: true });
        const digest = `sha256:${name.replace(/\.wasm$/, "")}`;
        if (!name.endsWith(".wasm") || !digestPattern.test(digest)) continue;
        sizes.set(digest, await sizeOf(file));
      }
    }
    return sizes;
  }

  #fileOf(digest: string): string {
    const match = digestPattern.exec(digest);
    if (match?.[1] === undefined) throw new Error(`${digest} is no digest`);
    return join(this.#folder, "sha256", match[1], `${digest.slice(7)}.wasm`);
  }
}

async function writeDurably(file: string, bytes: Uint8Array): Promise<void> {
  await using handle = await open(file, "wx", 0o600);
  await handle.writeFile(bytes);
  await handle.sync();
}

/** A new name is durable when its folder is, and a new folder when the one above it is. */
async function syncFolders(folder: string, first: string | undefined): Promise<void> {
  const top = first === undefined ? folder : dirname(first);
  for (let each = folder; ; each = dirname(each)) {
    await using handle = await open(each, "r");
    await handle.sync();
    if (each === top || each === dirname(each)) return;
  }
}

async function entriesOf(folder: string): Promise<string[]> {
  return readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return [];
    throw error;
  });
}

async function sizeOf(file: string): Promise<number> {
  await using handle = await open(file, "r");
  return (await handle.stat()).size;
}
