/**
 * Where the thread starts that holds configurations against schemas.
 *
 * @module
 */

import assert from "node:assert/strict";
import { parentPort, workerData } from "node:worker_threads";
import {
  type CheckedConfig,
  type ConfigCheckStart,
  type ConfigProblem,
  cannotBeChecked,
  type FromConfigCheck,
} from "./config-checker.ts";
import { problemsOf } from "./config-problems.ts";

assert(parentPort !== null, "registry/config-check-thread.ts runs in a thread of its own only");

function check({ schema, configJson }: CheckedConfig): readonly ConfigProblem[] {
  try {
    return problemsOf(schema, configJson);
  } catch (error) {
    return cannotBeChecked(error instanceof RangeError ? "it refers to itself without end" : String(error));
  }
}

parentPort.postMessage("ready" satisfies FromConfigCheck);
for (const config of (workerData as ConfigCheckStart).configs) parentPort.postMessage(check(config));
