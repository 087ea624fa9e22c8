/**
 * The example modules: their names, and how to get at their bytes.
 *
 * @module
 */

import { randomUUID } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The example modules. What each does and how it is configured stands at the top of `modules/<name>.ts`. */
export const exampleNames = [
  "csv-to-json",
  "filter",
  "json-redact",
  "ndjson-split",
  "normalize",
  "record-counter",
  "uppercase",
  "uppercase-raw",
] as const;

/** The name of an example module. */
export type ExampleName = (typeof exampleNames)[number];

/** Those that export the whole ABI themselves. */
const rawExamples: ReadonlySet<ExampleName> = new Set<ExampleName>(["uppercase-raw"]);

/** Those with a schema of their configuration, in `modules/<name>.schema.json`. */
const schemaExamples: ReadonlySet<ExampleName> = new Set<ExampleName>(["json-redact"]);

const modulesDirectory = fileURLToPath(new URL("./modules/", import.meta.url));
const distDirectory = fileURLToPath(new URL("./dist/", import.meta.url));

/** Where the module of that name is once it is built. */
export function examplePath(name: ExampleName): string {
  return modulePath(distDirectory, name);
}

function modulePath(folder: string, name: ExampleName): string {
  return join(folder, `${name}.wasm`);
}

/** The module's bytes. Builds what is missing or older than its sources. */
export async function loadExample(name: ExampleName): Promise<Uint8Array> {
  await buildExamples({ names: [name] });
  return readFile(examplePath(name));
}

/** What to build. */
export interface BuildExamplesOptions {
  /** Build even what is newer than its sources. Default false. */
  force?: boolean;
  /** Which to build. Default all. */
  names?: readonly ExampleName[];
  /** Where they go. Default the `dist` folder, where {@link examplePath} and {@link loadExample} look. */
  outDir?: string;
}

/**
 * Builds the example modules that are missing or older than any source. Safe to call from several processes at once: each
 * writes under a name of its own and renames, so that whoever reads sees a whole module.
 *
 * @returns the names of those that were built
 */
export async function buildExamples(options: BuildExamplesOptions = {}): Promise<ExampleName[]> {
  const { names = exampleNames, outDir = distDirectory } = options;
  const sourcesMs = await newestSourceMs();
  const built: ExampleName[] = [];
  for (const name of names) {
    const path = modulePath(outDir, name);
    if (!options.force && (await modifiedMs(path)) >= sourcesMs) continue;
    await buildExample(name, path, sourcesMs);
    built.push(name);
  }
  return built;
}

async function buildExample(name: ExampleName, path: string, sourcesMs: number): Promise<void> {
  // Loaded only when there is something to build: the compiler takes half a second to load.
  const { buildModule } = await import("@leat/assemblyscript/build");
  const { wasm } = await buildModule({
    entry: join(modulesDirectory, `${name}.ts`),
    raw: rawExamples.has(name),
    ...(schemaExamples.has(name) && { configSchema: join(modulesDirectory, `${name}.schema.json`) }),
  });
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.${randomUUID()}`;
  try {
    await writeFile(temporary, wasm);
    // As old as what it was made from: a source that changed meanwhile is newer.
    await utimes(temporary, sourcesMs / 1_000, sourcesMs / 1_000);
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}

/** When the modules, the kit or the compiler's version last changed. */
async function newestSourceMs(): Promise<number> {
  const kit = dirname(createRequire(import.meta.url).resolve("@leat/assemblyscript/package.json"));
  const kitFiles = ["build.ts", "package.json"].map((file) => join(kit, file));
  const sources = [...(await filesIn(modulesDirectory)), ...(await filesIn(join(kit, "assembly")))];
  const times = await Promise.all([...kitFiles, ...sources].map(modifiedMs));
  return Math.max(...times);
}

async function filesIn(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

/** When a file last changed, or 0 when there is none. */
async function modifiedMs(path: string): Promise<number> {
  try {
    // Whole milliseconds, since that is what `utimes` can repeat.
    return Math.round((await stat(path)).mtimeMs);
  } catch {
    return 0;
  }
}
