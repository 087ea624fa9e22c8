/**
 * Which limits fit together.
 *
 * @module
 */

import assert from "node:assert/strict";
import type { Limits } from "./limits.ts";

/** The size of a WebAssembly page. Source: WebAssembly core specification, 4.2.8. */
export const wasmPageBytes = 64 * 1024;

/** Asserts that limits are whole numbers and fit together. */
export function assertLimitsFit(limits: Readonly<Limits>): void {
  for (const [name, value] of Object.entries(limits)) {
    assert(
      Number.isSafeInteger(value) && value >= 0,
      `limit ${name} is ${value}; it must be a whole number of at least 0`,
    );
  }
  assert(limits.maxWorkers >= 1, "maxWorkers must be at least 1");
  assert(limits.laneOffences <= limits.laneWindow, "laneOffences must not exceed laneWindow");
  assert(limits.laneMs <= limits.maxLaneMs, "laneMs must not exceed maxLaneMs");
  assert(limits.maxWallTimeFactor >= 1, "maxWallTimeFactor must be at least 1");
  assert(limits.maxWorkerQueue >= 1, "maxWorkerQueue must be at least 1");
  assert(limits.maxActivationHistory >= 2, "maxActivationHistory must be at least 2");
  assert(limits.maxPipelineRevisions >= 1, "maxPipelineRevisions must be at least 1");
  assert(
    limits.streamWindowBytes >= 65_535 && limits.streamWindowBytes <= 2 ** 31 - 1,
    "streamWindowBytes must be at least 65,535 and below 2 GiB",
  );
  assert(limits.maxStreamWindow >= 1, "maxStreamWindow must be at least 1");
  assert(limits.maxTokenBytes < limits.maxMetadataBytes, "maxTokenBytes must be below maxMetadataBytes");
  assertConnectionsFit(limits);
  assert(limits.maxBatchBytes <= limits.maxAdmittedBytes, "maxBatchBytes must not exceed maxAdmittedBytes");
  assert(
    limits.maxBatchBytes <= limits.maxGuestMemoryBytes,
    "maxBatchBytes must not exceed maxGuestMemoryBytes",
  );
  assert(
    limits.maxGuestMemoryBytes <= limits.maxInstanceBytesPerWorker,
    "maxGuestMemoryBytes must not exceed maxInstanceBytesPerWorker",
  );
  assert(
    limits.maxCoalescedBytes <= limits.slotInputBytes,
    "maxCoalescedBytes must not exceed slotInputBytes",
  );
  assert(
    limits.maxRecordExecutionMs <= limits.maxBatchExecutionMs,
    "maxRecordExecutionMs must not exceed maxBatchExecutionMs",
  );
  assert(
    limits.maxGuestMemoryBytes >= wasmPageBytes,
    `maxGuestMemoryBytes must be at least ${wasmPageBytes}`,
  );
}

/** The longest time that a timer of Node's takes, and more than any number of HTTP/2's settings here needs. */
const maxInt32 = 2 ** 31 - 1;

function assertConnectionsFit(limits: Readonly<Limits>): void {
  const { maxConnections, maxRequestHeadMs, maxRequestMs, maxIdleConnectionMs } = limits;
  const { maxCallsPerConnection, maxMetadataBytes } = limits;
  const all = {
    maxConnections,
    maxRequestHeadMs,
    maxRequestMs,
    maxIdleConnectionMs,
    maxCallsPerConnection,
    maxMetadataBytes,
  };
  // To Node, 0 means without a bound in some of them, and nothing at all in others.
  for (const [name, value] of Object.entries(all))
    assert(value >= 1 && value <= maxInt32, `${name} must be at least 1 and below 2^31`);
  assert(maxRequestHeadMs <= maxRequestMs, "maxRequestHeadMs must not exceed maxRequestMs");
}
