/**
 * Counts a crossing: its times, its stages, its failures.
 *
 * @module
 */

import { Outcome, Slot, StageWord } from "../bridge/layout.ts";
import type { Crossing } from "../pool/crossing.ts";
import type { WorkerHandle } from "../pool/worker-handle.ts";
import type { ArmStats } from "../telemetry/arm-stats.ts";
import type { PipelineStats } from "../telemetry/stats.ts";

const nsPerMs = 1e6;

/** Adds what a completed slot says to the pipeline's figures. Allocates nothing unless something failed. */
export function countCrossing(
  stats: PipelineStats,
  worker: WorkerHandle,
  crossing: Crossing,
  slot: number,
): void {
  const { words, times } = worker.memory;
  const base = worker.memory.slot(slot);
  const at = worker.memory.timesOf(slot);
  const beganMs = times[at] as number;
  stats.executions++;
  stats.copyIn.add(crossing.copyInMs * nsPerMs);
  stats.execute.add(((times[at + 1] as number) - beganMs) * nsPerMs);
  stats.addBatchSize(words[base + Slot.recordsIn] as number);
  for (const job of crossing.jobs) stats.queue.add(Math.max(0, beganMs - job.admittedMs) * nsPerMs);
  const begun = words[base + Slot.stagesBegun] as number;
  for (let index = 0; index < begun; index++) countStage(stats, worker, crossing, slot, index);
  if (crossing.report !== undefined) {
    for (const { stage, code, count } of crossing.report.failures)
      stats.stages[stage]?.addFailure(code, count);
  }
}

/** Adds what a completed slot says to the figures of a version that is compared with another. */
export function countArm(arm: ArmStats, worker: WorkerHandle, crossing: Crossing, slot: number): void {
  const { words, times } = worker.memory;
  const base = worker.memory.slot(slot);
  if (words[base + Slot.outcome] !== Outcome.result) return;
  const at = worker.memory.timesOf(slot);
  const ms = (times[at + 1] as number) - (times[at] as number) + crossing.spentMs;
  let failed = 0;
  const begun = words[base + Slot.stagesBegun] as number;
  for (let index = 0; index < begun; index++)
    failed += words[worker.memory.stage(slot, index) + StageWord.recordsFailed] as number;
  arm.ran(crossing.jobs.length, ms, words[base + Slot.recordsIn] as number, failed);
}

function countStage(
  stats: PipelineStats,
  worker: WorkerHandle,
  crossing: Crossing,
  slot: number,
  index: number,
): void {
  const spec = crossing.pipeline.spec.stages[index];
  if (spec === undefined) return;
  const { words, times } = worker.memory;
  const at = worker.memory.timesOf(slot) + 2 + 2 * index;
  const entry = worker.memory.stage(slot, index);
  const stage = stats.stage(index, spec.identity);
  stage.execute.add(Math.max(0, (times[at + 1] as number) - (times[at] as number)) * nsPerMs);
  stage.recordsIn += words[entry + StageWord.recordsIn] as number;
  stage.recordsOut += words[entry + StageWord.recordsOut] as number;
  stage.instancesCreated += words[entry + StageWord.instancesCreated] as number;
}
