/**
 * Where the thread starts that inspects one large module. It gives its bytes back with what it found.
 *
 * @module
 */

import assert from "node:assert/strict";
import { parentPort, workerData } from "node:worker_threads";
import { LeatError } from "../errors.ts";
import { inspectModule } from "./inspect.ts";
import type { FromInspection, InspectionStart } from "./inspect-apart.ts";

assert(parentPort !== null, "module/inspection-thread.ts runs in a thread of its own only");

/** What inspection says about a module. */
function inspect({ bytes, limits }: InspectionStart): FromInspection {
  try {
    return { t: "inspected", inspected: inspectModule(bytes, limits) };
  } catch (error) {
    if (!(error instanceof LeatError)) throw error;
    const { reason, message, metadata } = error;
    return { t: "refused", reason, message, metadata };
  }
}

const found = inspect(workerData as InspectionStart);
const transfer = found.t === "inspected" ? [found.inspected.clamped.buffer as ArrayBuffer] : [];
parentPort.postMessage(found, transfer);
