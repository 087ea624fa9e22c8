/**
 * Has a thread run a batch before it is ready, and the rest of one that was stopped, in memory of its own: V8 compiles each function
 * when it is first called, which takes longer than most batches, and whoever is given a worker in reserve waits for it already.
 *
 * @module
 */

import { SlotMemory } from "../bridge/channel.ts";
import { ExclusionCode, ExclusionWord, layoutFor, Outcome, SegmentWord, Slot } from "../bridge/layout.ts";
import type { PipelineSpec, StageSpec } from "../bridge/pipeline-spec.ts";
import { defaultLimits } from "../limits.ts";
import { PipelineRunner } from "../stages/pipeline-runner.ts";
import { RunContext } from "../stages/run-context.ts";
import { InstanceBudget } from "./instance-budget.ts";
import { SlotRunner } from "./slot-runner.ts";

/** A guest that returns each batch of less than 126 bytes as it came. Its text is in `warm-up.test.ts`. */
export const warmUpGuest: Uint8Array<ArrayBuffer> = Uint8Array.from(
  Buffer.from(
    "AGFzbQEAAAABEANgAX8AYAF/AX9gAn9/AX4CFQEEbGVhdAxiZWdpbl9yZWNvcmQAAAMDAgECBQMBAAEHKAMGbWVtb3J5AgAKbGVhdF9hbGxvYwAB" +
      "DmxlYXRfdHJhbnNmb3JtAAIKMgIFAEHAAAsqAEEAEAAgAEECa0EKOgAAIABBAWsgAToAACAAQQJrrUIghiABQQJqrYQLAA4EbmFtZQIHAwAAAQACAA==",
    "base64",
  ),
);

/** Three records with a key and a value of one byte each. */
const record = [0x0a, 6, 0x0a, 1, 0x6b, 0x12, 1, 0x76];
const batch = Uint8Array.from([...record, ...record, ...record]);
const batchRecords = 3;

/**
 * Runs what a worker runs, so that it is compiled: under the default limits, since those in force may be too tight for any batch.
 *
 * @throws Error when a batch does not come back
 */
export function warmUp(): void {
  const limits = defaultLimits;
  const memory = new SlotMemory(layoutFor(limits));
  const context = new RunContext(memory, limits, { log: () => false, count: () => false });
  const budget = new InstanceBudget(limits);
  const slots = new SlotRunner(memory, context, { postMessage: () => {} }, budget, undefined);
  const runner = new PipelineRunner(warmUpPipeline(), context, budget.admit);
  for (const exclusions of [0, 1] as const) {
    submit(memory, exclusions);
    slots.run(0, runner, undefined);
    const base = memory.slot(0);
    const came = memory.words[base + Slot.recordsOut];
    if (memory.words[base + Slot.outcome] !== Outcome.result || came !== batchRecords - exclusions)
      throw new Error("the batch that warms a worker up did not come back");
  }
}

/** Puts the batch into the first slot as the main thread does, its second record left out where there is an exclusion. */
function submit(memory: SlotMemory, exclusions: 0 | 1): void {
  const { words } = memory;
  const base = memory.slot(0);
  words[base + Slot.inputLength] = batch.length;
  words[base + Slot.segments] = 1;
  words[base + Slot.exclusions] = exclusions;
  words[memory.segment(0, 0) + SegmentWord.length] = batch.length;
  const exclusion = memory.exclusion(0, 0);
  words[exclusion + ExclusionWord.stage] = 0;
  words[exclusion + ExclusionWord.record] = 1;
  words[exclusion + ExclusionWord.code] = ExclusionCode.timeout;
  words[exclusion + ExclusionWord.wallMs] = -1;
  memory.bytes.set(batch, memory.inputStart(0));
}

function warmUpPipeline(): PipelineSpec {
  const identity = { stage: "warm-up", module: "warm-up", version: "1", digest: "" };
  const stage: StageSpec = {
    ...identity,
    name: identity.stage,
    identity,
    code: { t: "compiled", module: new WebAssembly.Module(warmUpGuest) },
    codeSectionShiftBytes: 0,
    instanceHeapBytes: 0,
    configJson: "{}",
    batchTimeoutMs: defaultLimits.maxBatchExecutionMs,
    recordTimeoutMs: defaultLimits.maxRecordExecutionMs,
    memoryBytes: defaultLimits.maxGuestMemoryBytes,
    onFailure: "fail",
    retry: { attempts: 1, initialBackoffMs: 0, maxBackoffMs: 0, factor: 1, jitter: 0, faults: false },
    breaker: undefined,
    fresh: false,
  };
  return { id: 0, name: "warm-up", stages: [stage], limits: defaultLimits };
}
