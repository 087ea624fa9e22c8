/**
 * Where a worker thread starts.
 *
 * @module
 */

import assert from "node:assert/strict";
import { isMainThread, workerData } from "node:worker_threads";
import type { WorkerStart } from "../bridge/to-worker.ts";
import { warmUp } from "./warm-up.ts";
import { WorkerLoop } from "./worker-loop.ts";

assert(!isMainThread, "thread/entry.ts runs in worker threads only");
warmUp();
new WorkerLoop(workerData as WorkerStart).run();
