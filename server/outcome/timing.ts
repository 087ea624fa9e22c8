/**
 * What a trace wants to know of a batch, read from its slot.
 *
 * @module
 */

import { Slot, StageWord } from "../bridge/layout.ts";
import type { LeatError } from "../errors.ts";
import type { BatchJob } from "../pool/batch-job.ts";
import type { Crossing, CrossingReport } from "../pool/crossing.ts";
import type { WorkerHandle } from "../pool/worker-handle.ts";
import type { BatchTiming, StageTiming } from "../telemetry/batch-trace.ts";

/** Reads the times of one batch. Called for batches that are traced only. */
export function batchTiming(
  nowMs: number,
  job: BatchJob,
  crossing: Crossing | undefined,
  ran: { readonly worker: WorkerHandle; readonly slot: number } | undefined,
  error: LeatError | undefined,
): BatchTiming {
  const startedMs =
    ran === undefined ? nowMs : (ran.worker.memory.times[ran.worker.memory.timesOf(ran.slot)] as number);
  return {
    admittedMs: job.admittedMs,
    startedMs,
    endMs: nowMs,
    worker: ran?.worker.number ?? 0,
    stages:
      ran === undefined || crossing === undefined ? [] : stageTimings(job, crossing, ran.worker, ran.slot),
    failures: crossing?.report?.samples ?? [],
    recordsFailed: failedIn(crossing?.report),
    error,
  };
}

/** Samples are a bounded number of them. */
function failedIn(report: CrossingReport | undefined): number {
  let failed = 0;
  for (const { count } of report?.failures ?? []) failed += count;
  return failed;
}

function stageTimings(job: BatchJob, crossing: Crossing, worker: WorkerHandle, slot: number): StageTiming[] {
  const { words, times } = worker.memory;
  const begun = words[worker.memory.slot(slot) + Slot.stagesBegun] as number;
  return crossing.pipeline.spec.stages.slice(0, begun).map((spec, index) => {
    const at = worker.memory.timesOf(slot) + 2 + 2 * index;
    const entry = worker.memory.stage(slot, index);
    return {
      name: spec.name,
      module: spec.module,
      version: spec.version,
      digest: spec.digest,
      startMs: times[at] as number,
      endMs: Math.max(times[at] as number, times[at + 1] as number),
      recordsIn: words[entry + StageWord.recordsIn] as number,
      recordsOut: words[entry + StageWord.recordsOut] as number,
      recordsFailed: words[entry + StageWord.recordsFailed] as number,
      recordsSkipped: words[entry + StageWord.recordsSkipped] as number,
      attempt: job.priorAttempts + crossing.attempts,
      instanceReused: words[entry + StageWord.instancesCreated] === 0,
    };
  });
}
