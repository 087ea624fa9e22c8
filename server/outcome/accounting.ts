/**
 * Counts a crossing: its times, its stages, its failures, and what its modules used.
 *
 * @module
 */

import { Control, Outcome, Slot, StageWord, wasSkipped } from "../bridge/layout.ts";
import { wasmPageBytes } from "../limits.ts";
import type { Crossing } from "../pool/crossing.ts";
import type { WorkerHandle } from "../pool/worker-handle.ts";
import type { ArmStats } from "../telemetry/arm-stats.ts";
import type { StageStats } from "../telemetry/stage-stats.ts";
import type { PipelineStats, Stats } from "../telemetry/stats.ts";
import type { DroppedLines } from "./dropped-lines.ts";

const nsPerMs = 1e6;
const usPerMs = 1e3;

/** Told what each stage of a crossing took that ran to its end. */
export type OnStage = (crossing: Crossing, stage: number, cpuMs: number, faults: number) => void;

/** Counts crossings that serve. */
export class Accounting {
  readonly #stats: Stats;
  readonly #droppedLines: DroppedLines;
  readonly #onStage: OnStage;

  constructor(stats: Stats, droppedLines: DroppedLines, onStage: OnStage) {
    this.#stats = stats;
    this.#droppedLines = droppedLines;
    this.#onStage = onStage;
  }

  /** Adds what a completed slot says to the pipeline's figures. Allocates nothing unless something failed. */
  completed(stats: PipelineStats, worker: WorkerHandle, crossing: Crossing, slot: number): void {
    const { words, times } = worker.memory;
    const base = worker.memory.slot(slot);
    const at = worker.memory.timesOf(slot);
    const beganMs = times[at] as number;
    stats.executions++;
    stats.copyIn.add(crossing.copyInMs * nsPerMs);
    const executeMs = (times[at + 1] as number) - beganMs;
    stats.execute.add(executeMs * nsPerMs);
    if (crossing.jobs[0]?.mergeable) crossing.pipeline.pace.ran(crossing.jobs.length, executeMs);
    stats.addBatchSize(words[base + Slot.recordsIn] as number);
    for (const job of crossing.jobs) stats.queue.add(Math.max(0, beganMs - job.admittedMs) * nsPerMs);
    const begun = words[base + Slot.stagesBegun] as number;
    for (let index = 0; index < begun; index++) this.#stage(stats, worker, crossing, slot, index);
    if (crossing.report !== undefined) {
      for (const { stage, code, count } of crossing.report.failures)
        stats.stages[stage]?.addFailure(code, count);
    }
  }

  /**
   * A worker has ended under a crossing: its modules have used what they did until then. Records and runs are counted when it has run to its end.
   *
   * @param cpuMs - the thread's processor time for the crossing; 0 where it is not known
   */
  lost(worker: WorkerHandle, crossing: Crossing, cpuMs: number): void {
    if (crossing.purpose !== "serve") return;
    const { words } = worker.memory;
    const slot = words[Control.currentSlot] as number;
    if (slot < 0) return;
    const stats = this.#stats.pipeline(crossing.pipeline.spec.name);
    const last = (words[worker.memory.slot(slot) + Slot.stagesBegun] as number) - 1;
    let restUs = Math.round(cpuMs * usPerMs);
    for (let index = 0; index <= last; index++) {
      const identity = crossing.pipeline.spec.stages[index]?.identity;
      if (identity === undefined) return;
      const entry = worker.memory.stage(slot, index);
      const stage = stats.stage(index, identity);
      restUs -= words[entry + StageWord.cpuUs] as number;
      this.#usage(stage, words, entry);
      if (index === last) stage.cpuUs += Math.max(0, restUs);
    }
  }

  #stage(stats: PipelineStats, worker: WorkerHandle, crossing: Crossing, slot: number, index: number): void {
    const spec = crossing.pipeline.spec.stages[index];
    if (spec === undefined) return;
    const { words, times } = worker.memory;
    const at = worker.memory.timesOf(slot) + 2 + 2 * index;
    const entry = worker.memory.stage(slot, index);
    const stage = stats.stage(index, spec.identity);
    stage.recordsSkipped += words[entry + StageWord.recordsSkipped] as number;
    if (wasSkipped(words, entry)) return;
    stage.execute.add(Math.max(0, (times[at + 1] as number) - (times[at] as number)) * nsPerMs);
    stage.recordsIn += words[entry + StageWord.recordsIn] as number;
    stage.recordsOut += words[entry + StageWord.recordsOut] as number;
    this.#usage(stage, words, entry);
    const cpuMs = (words[entry + StageWord.cpuUs] as number) / usPerMs;
    this.#onStage(crossing, index, cpuMs, words[entry + StageWord.faults] as number);
  }

  #usage(stage: StageStats, words: Int32Array, entry: number): void {
    stage.cpuUs += words[entry + StageWord.cpuUs] as number;
    stage.instancesCreated += words[entry + StageWord.instancesCreated] as number;
    const memoryBytes = (words[entry + StageWord.memoryPages] as number) * wasmPageBytes;
    if (memoryBytes > stage.memoryHighWaterBytes) stage.memoryHighWaterBytes = memoryBytes;
    const { instancesDiscarded } = stage;
    instancesDiscarded.fault += words[entry + StageWord.discardedFault] as number;
    instancesDiscarded.memory += words[entry + StageWord.discardedMemory] as number;
    instancesDiscarded.fresh += words[entry + StageWord.discardedFresh] as number;
    instancesDiscarded.evicted += words[entry + StageWord.discardedEvicted] as number;
    stage.logLines += words[entry + StageWord.logLines] as number;
    stage.counterUpdates += words[entry + StageWord.counterUpdates] as number;
    stage.counterUpdatesUnnamed += words[entry + StageWord.counterUpdatesUnnamed] as number;
    const dropped = words[entry + StageWord.logLinesDropped] as number;
    if (dropped === 0) return;
    stage.logLinesDropped += dropped;
    this.#droppedLines.note(stage, dropped);
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
