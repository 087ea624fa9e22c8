/**
 * Fails when the generated code in `proto/gen` is not what `npm run generate` makes of the
 * `.proto` files. Generates into a temporary folder and changes nothing. Runs at the top of a repository.
 *
 * @module
 */

import "./runtime.js";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { toolEnvironment } from "./root.ts";

const generated = "proto/gen";

function filesUnder(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort();
}

/** The files that differ between two folders, each with what is wrong with it. */
function differences(present: string, fresh: string): string[] {
  const wanted = filesUnder(fresh);
  const stale = filesUnder(present).filter((file) => !wanted.includes(file));
  const changed = wanted.flatMap((file) => {
    if (!existsSync(join(present, file))) return [`${file} is missing`];
    const same = readFileSync(join(present, file)).equals(readFileSync(join(fresh, file)));
    return same ? [] : [`${file} differs`];
  });
  return [...stale.map((file) => `${file} is left over`), ...changed];
}

const fresh = mkdtempSync(join(tmpdir(), "leat-generated-"));
try {
  execFileSync("buf", ["generate", "--output", fresh], {
    env: toolEnvironment,
    stdio: "inherit",
  });
  const problems = differences(generated, join(fresh, generated));
  if (problems.length > 0) {
    process.stderr.write(
      `${generated} is out of step with the .proto files; run npm run generate:\n  ${problems.join("\n  ")}\n`,
    );
    process.exitCode = 1;
  }
} finally {
  rmSync(fresh, { recursive: true, force: true });
}
