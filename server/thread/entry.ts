/**
 * Where a worker thread starts.
 *
 * @module
 */

import assert from "node:assert/strict";
import { isMainThread, workerData } from "node:worker_threads";
import type { WorkerStart } from "../bridge/to-worker.ts";
import { WorkerLoop } from "./worker-loop.ts";

assert(!isMainThread, "thread/entry.ts runs in worker threads only");
new WorkerLoop(workerData as WorkerStart).run();
