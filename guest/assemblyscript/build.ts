/**
 * Compiles a module that is written with the kit.
 *
 * @module
 */

import { randomUUID } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { main } from "assemblyscript/asc";

/** How to compile a module. */
export interface BuildOptions {
  /** The author's source file, which exports `transform` and, if it takes a configuration, `configure`. */
  entry: string;
  /** Where the module goes. Written under another name and renamed, so that readers never see half of it. Default: nowhere. */
  outFile?: string;
  /** Where the module goes as WebAssembly text. Default: nowhere. */
  textFile?: string;
  /** Write a source map beside `outFile`, which must be given. Default false. */
  sourceMap?: boolean;
  /** Keep function names, so that traps and profiles show them. Default true. */
  names?: boolean;
  /** Use 16-byte vector instructions. Default true. */
  simd?: boolean;
  /** A file with the JSON Schema of the module's configuration, which a host holds configurations against. Default: none. */
  configSchema?: string;
  /** The entry exports the whole ABI itself, and the kit only compiles it. Default false. */
  raw?: boolean;
}

/** What came of a compilation. */
export interface BuiltModule {
  /** The module. */
  wasm: Uint8Array;
  /** The compiler's warnings, or "". */
  warnings: string;
}

/** A module does not compile, or would be refused by a host. The message is the compiler's. */
export class BuildError extends Error {
  override name = "BuildError";
}

const kitDirectory = fileURLToPath(new URL("./assembly/", import.meta.url));
const entryName = "leat-entry";
const runtimeName = "leat-runtime";

/** The namespaces from which a host gives imports: docs/guest-abi.md. */
const hostImports: ReadonlyMap<string, ReadonlySet<string> | "any"> = new Map<
  string,
  ReadonlySet<string> | "any"
>([
  ["leat", new Set(["begin_record", "log", "now_ms", "counter_add"])],
  ["wasi_snapshot_preview1", "any"],
]);

/**
 * Compiles a module.
 *
 * @throws BuildError when the source does not compile, or asks for an import that no host gives
 */
export async function buildModule(options: BuildOptions): Promise<BuiltModule> {
  const entry = resolve(options.entry);
  const baseDir = dirname(entry);
  const written = new Map<string, Uint8Array | string>();
  const messages: string[] = [];
  const result = await main(compilerArguments(options, entry), {
    stdout: { write: (chunk) => void messages.push(String(chunk)) },
    stderr: { write: (chunk) => void messages.push(String(chunk)) },
    readFile: (name) => readSource(name, baseDir, entry),
    writeFile: (name, contents) => void written.set(basename(name), contents),
    listFiles: () => null,
  });
  // A remark on the compiler's own search for the smallest code, of no concern to an author.
  const log = messages.join("").replace("Last converge was suboptimal.\n", "");
  if (result.error !== null)
    throw new BuildError(`${entry} does not compile: ${log || result.error.message}`);
  const compiled = written.get("module.wasm");
  if (!(compiled instanceof Uint8Array)) throw new BuildError(`${entry}: the compiler gave no module`);
  await refuseForeignImports(entry, compiled);
  const { configSchema } = options;
  const wasm = configSchema === undefined ? compiled : withSchema(compiled, await readSchema(configSchema));
  if (options.outFile !== undefined) await writeWhole(options.outFile, wasm);
  const text = written.get("module.wat");
  if (options.textFile !== undefined && text !== undefined) await writeWhole(options.textFile, text);
  const map = written.get(sourceMapName(options));
  if (options.outFile !== undefined && map !== undefined) await writeWhole(`${options.outFile}.map`, map);
  return { wasm, warnings: log };
}

function compilerArguments(options: BuildOptions, entry: string): string[] {
  const args = [
    options.raw ? basename(entry) : `${entryName}.ts`,
    "--baseDir",
    dirname(entry),
    "--outFile",
    "module.wasm",
  ];
  args.push("-O3", "--converge", "--exportStart", "_initialize");
  if (options.raw) {
    args.push("--runtime", "stub", "--use", "abort=");
  } else {
    // Of a stack only a collector has use. The compiler takes 0 for its default size and less for none; the space keeps its
    // command line parser from reading -1 as an option.
    args.push("--runtime", runtimeName, "--stackSize", " -1");
    for (const name of ["abort", "trace", "seed", "console"]) args.push("--use", `${name}=leat_${name}`);
  }
  if (options.simd !== false) args.push("--enable", "simd");
  if (options.names !== false) args.push("--debug");
  if (options.textFile !== undefined) args.push("--textFile", "module.wat");
  if (options.sourceMap) args.push("--sourceMap", `./${sourceMapName(options)}`);
  return args;
}

function sourceMapName({ outFile = "module.wasm" }: BuildOptions): string {
  return `${basename(outFile)}.map`;
}

/** What the compiler reads: the author's files from disk, and the kit's from here wherever it is installed. */
async function readSource(name: string, baseDir: string, entry: string): Promise<string | null> {
  const path = name.replaceAll("\\", "/");
  if (path === `${entryName}.ts`) return entrySource(basename(entry));
  // Options come from the caller alone.
  if (path === "asconfig.json") return null;
  if (path === `${runtimeName}.ts`) return readText(join(kitDirectory, "runtime.ts"));
  const kitFile = /(?:^|\/)node_modules\/@leat\/assemblyscript\/(.+\.ts)$/.exec(path)?.[1];
  return readText(kitFile === undefined ? resolve(baseDir, name) : join(kitDirectory, kitFile));
}

async function readText(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8");
  } catch {
    // The compiler probes for files; it reports those that it cannot do without.
    return null;
  }
}

/** The file that joins the kit to the author's functions: they are called directly, and so can be inlined. */
function entrySource(authorFile: string): string {
  return `
import * as author from "./${authorFile.replace(/\.ts$/, "")}";
import "@leat/assemblyscript/globals";
import * as abi from "@leat/assemblyscript/abi";
import { out } from "@leat/assemblyscript/out";
import { record } from "@leat/assemblyscript/record";

export { leat_alloc } from "@leat/assemblyscript/abi";

export function leat_init(ptr: usize, len: usize): u64 {
  const config = abi.beginInit(ptr, len);
  if (isDefined(author.configure)) author.configure(config);
  return abi.endInit(config);
}

export function leat_transform(ptr: usize, len: usize): u64 {
  if (!abi.isKept()) abi.requireInit(leat_init(0, 0));
  abi.beginBatch(ptr, len);
  while (abi.nextRecord()) {
    author.transform(record, out);
    abi.endRecord();
  }
  return abi.endBatch();
}
`;
}

async function readSchema(path: string): Promise<Uint8Array> {
  const text = await readFile(path, "utf8").catch((error: Error) => {
    throw new BuildError(`${path} cannot be read: ${error.message}`);
  });
  try {
    JSON.parse(text);
  } catch (error) {
    throw new BuildError(`${path} is not JSON: ${(error as Error).message}`);
  }
  return Buffer.from(text);
}

/** The module with a schema in a section of its own. Source: docs/guest-abi.md. */
function withSchema(wasm: Uint8Array, schema: Uint8Array): Uint8Array {
  const name = Buffer.from("leat_config_schema");
  const length: number[] = [];
  let rest = 1 + name.length + schema.length;
  for (; rest >= 128; rest >>>= 7) length.push((rest & 127) | 128);
  return Buffer.concat([wasm, Uint8Array.of(0, ...length, rest, name.length), name, schema]);
}

async function refuseForeignImports(entry: string, wasm: Uint8Array): Promise<void> {
  const module = await WebAssembly.compile(new Uint8Array(wasm));
  for (const { module: namespace, name } of WebAssembly.Module.imports(module)) {
    const names = hostImports.get(namespace);
    if (names !== "any" && !names?.has(name)) {
      throw new BuildError(`${entry} uses ${namespace}.${name}, which no host of guest ABI 1 gives`);
    }
  }
}

async function writeWhole(path: string, contents: Uint8Array | string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.${randomUUID()}`;
  try {
    await writeFile(temporary, contents);
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}
