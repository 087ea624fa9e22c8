/**
 * A server for guests that misbehave: with short limits, and without what would keep a guest from doing so again.
 *
 * @module
 */

import { type Supervised, startSupervised } from "./supervised.ts";

const limits = ["maxRecordExecutionMs=100", "maxBatchExecutionMs=500", "maxInitMs=300", "maxWorkerStops=0"];

/** Serves a pipeline of each module, under its name. */
export function serve(modules: Readonly<Record<string, string>>): Promise<Supervised> {
  const pipelines = Object.keys(modules)
    .map((name) => `---\nname: ${name}\nstages:\n  - module: ${name}\n    breaker: { disabled: true }\n`)
    .join("");
  return startSupervised({ modules, pipelines, flags: limits.flatMap((limit) => ["--limit", limit]) });
}
