/**
 * The kit's test module as it was built last from the same sources: several files of tests run it, and compiling it takes
 * longer than they do.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const kit = fileURLToPath(new URL("../", import.meta.url));
const cache = fileURLToPath(new URL("../../../node_modules/.cache/tests/", import.meta.url));

/** The module's bytes. Builds it unless that was done before from the same sources, by the same compiler. */
export async function builtProbe(): Promise<Uint8Array> {
  const outFile = join(cache, `probe-${await digestOfSources()}.wasm`);
  try {
    return await readFile(outFile);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  // Loaded only when there is something to build: the compiler takes most of a second to load.
  const { buildModule } = await import("../build.ts");
  const { wasm } = await buildModule({ entry: join(kit, "test/assembly/probe.ts"), outFile });
  return wasm;
}

/** What the module is made of: the kit, the module's own files, how it is built, and the versions of the compiler. */
async function digestOfSources(): Promise<string> {
  const require = createRequire(import.meta.url);
  const compiler = createRequire(require.resolve("assemblyscript/package.json"));
  const files = [
    ...(await filesIn(join(kit, "assembly"))),
    ...(await filesIn(join(kit, "test/assembly"))),
    join(kit, "build.ts"),
    require.resolve("assemblyscript/package.json"),
    compiler.resolve("binaryen/package.json"),
  ];
  const hash = createHash("sha256");
  for (const file of files) {
    const bytes = await readFile(file);
    hash.update(`${file.slice(kit.length)} ${bytes.length}\n`).update(bytes);
  }
  return hash.digest("hex");
}

async function filesIn(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted();
}
