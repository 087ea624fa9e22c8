/**
 * Builds the example modules once, before any test runs.
 *
 * @module
 */

import { existsSync } from "node:fs";

/** Called by Vitest before the first test file. */
export async function setup(): Promise<void> {
  const examples = new URL("../../guest/examples/index.ts", import.meta.url);
  if (!existsSync(examples)) return;
  const { buildExamples } = (await import(examples.href)) as { buildExamples: () => Promise<unknown> };
  await buildExamples();
}
