/**
 * The repository's files as Git sees them: what is committed and what would be.
 *
 * @module
 */

import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./root.ts";

/** Every file that Git tracks or would add, as paths from the top, without those that are deleted. */
export const repositoryFiles: readonly string[] = execFileSync(
  "git",
  ["ls-files", "--cached", "--others", "--exclude-standard", "-z"],
  { cwd: root, encoding: "utf8" },
)
  .split("\0")
  .filter((path) => path !== "" && existsSync(join(root, path)));

/** The TypeScript and JavaScript that people write here: no generated code, no AssemblyScript. */
export const sourceFiles: readonly string[] = repositoryFiles.filter(
  (path) => /\.(?:ts|m?js)$/.test(path) && !path.startsWith("proto/gen/") && !isAssemblyScript(path),
);

/** Whether a path is AssemblyScript, which shares its ending with TypeScript. */
export function isAssemblyScript(path: string): boolean {
  return (
    path.startsWith("guest/") && (path.includes("/assembly/") || path.startsWith("guest/examples/modules/"))
  );
}

/** Whether a file is a test or belongs to the tests, as the folders `test` and `test-kit` of a package do. */
export function isTest(path: string): boolean {
  return path.endsWith(".test.ts") || /(?:^|\/)test(?:-kit)?\//.test(path);
}

/** The text of a file, given its path from the top. */
export function textOf(path: string): string {
  return readFileSync(join(root, path), "utf8");
}
