/**
 * Builds the example modules once, before any test runs, in a process of its own: the compiler
 * takes memory, and Vitest's own loader has no `import.meta.resolve`.
 *
 * @module
 */

import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { root } from "./root.ts";

/** Called by Vitest before the first test file. */
export function setup(): void {
  const build = join(root, "guest/examples/build.ts");
  const run = spawnSync(process.execPath, [build], { encoding: "utf8" });
  if (run.status !== 0) throw new Error(`the example modules do not build:\n${run.stderr}`);
}
