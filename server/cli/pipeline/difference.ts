/**
 * What would change between two pipelines, line by line as in a patch.
 *
 * @module
 */

import type { Pipeline } from "@leat/sdk";
import { printable } from "../text-table.ts";
import { writtenYaml } from "./written.ts";

/** Lines that may differ before it is no help to compare them. */
const maxDifferentLines = 5_000;

/** The lines that differ, each with three lines of its surroundings; all of a pipeline that is new. */
export async function difference(before: Pipeline | undefined, after: Pipeline): Promise<string> {
  const { structuredPatch } = await import("diff");
  const old = before === undefined ? "" : await writtenYaml(before);
  const patch = structuredPatch("", "", old, await writtenYaml(after), "", "", {
    context: 3,
    maxEditLength: maxDifferentLines,
  });
  if (patch === undefined) return `(more than ${maxDifferentLines} lines differ)\n`;
  return patch.hunks
    .flatMap(({ oldStart, oldLines, newStart, newLines, lines }) => [
      ...(before === undefined ? [] : [`@@ -${oldStart},${oldLines} +${newStart},${newLines} @@`]),
      ...lines.map(printable),
    ])
    .map((line) => `${line}\n`)
    .join("");
}
