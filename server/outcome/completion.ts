/**
 * What becomes of a crossing when it comes back from a worker: each of its calls gets its answer,
 * and the figures and traces get theirs.
 *
 * @module
 */

import type { FailureMatter } from "../bridge/from-worker.ts";
import { Outcome, Slot } from "../bridge/layout.ts";
import type { Clock } from "../clock.ts";
import { type LeatError, leatError } from "../errors.ts";
import type { Limits } from "../limits.ts";
import type { BatchJob, BatchResult } from "../pool/batch-job.ts";
import { Crossing } from "../pool/crossing.ts";
import { SegmentResult } from "../pool/slot-result.ts";
import type { WorkerHandle } from "../pool/worker-handle.ts";
import { PipelineStats, type Stats } from "../telemetry/stats.ts";
import { type Accounting, countArm } from "./accounting.ts";
import type { Breakers } from "./breakers.ts";
import { batchTiming } from "./timing.ts";

/** Takes a batch over; copies the result. */
export type BeginAftermath = (job: BatchJob, result: BatchResult, matters: readonly FailureMatter[]) => void;

/** Answers crossings. */
export class Completion {
  readonly #limits: Readonly<Limits>;
  readonly #clock: Clock;
  readonly #stats: Stats;
  readonly #accounting: Accounting;
  readonly #breakers: Breakers;
  readonly #beginAftermath: BeginAftermath;
  readonly #again: (crossing: Crossing) => void;

  /**
   * @param beginAftermath - takes a batch over whose failures policies deal with
   * @param again - runs a crossing ahead of what waits
   */
  constructor(
    limits: Readonly<Limits>,
    clock: Clock,
    stats: Stats,
    accounting: Accounting,
    breakers: Breakers,
    beginAftermath: BeginAftermath,
    again: (crossing: Crossing) => void,
  ) {
    this.#limits = limits;
    this.#clock = clock;
    this.#stats = stats;
    this.#accounting = accounting;
    this.#breakers = breakers;
    this.#beginAftermath = beginAftermath;
    this.#again = again;
  }

  /** A worker has completed the crossing's slot. */
  completed(worker: WorkerHandle, crossing: Crossing, slot: number, output: Buffer | undefined): void {
    if (worker.memory.words[worker.memory.slot(slot) + Slot.outcome] === Outcome.apart) {
      worker.holdSlot(slot, 1);
      worker.releaseSlot(slot);
      this.runApart(crossing);
      return;
    }
    const stats =
      crossing.purpose === "serve" ? this.#stats.pipeline(crossing.pipeline.spec.name) : uncounted;
    if (crossing.purpose === "serve") {
      this.#accounting.completed(stats, worker, crossing, slot);
      this.#breakers.completed(worker, crossing, slot);
    } else this.#breakers.abandon(crossing);
    const { arm } = crossing.pipeline;
    if (arm !== undefined && crossing.purpose !== "warm-up") countArm(arm, worker, crossing, slot);
    worker.holdSlot(slot, crossing.jobs.length);
    const error = this.#errorOf(worker, crossing, slot);
    if (error !== undefined) {
      this.#trace(worker, crossing, slot, error);
      for (const job of crossing.jobs) {
        this.#fail(stats, job, error);
        worker.releaseSlot(slot);
      }
      return;
    }
    this.#trace(worker, crossing, slot, undefined);
    const copyFromMs = this.#clock.nowMs();
    const matters = crossing.report?.matters ?? noMatters;
    let firstInput = 0;
    for (let segment = 0; segment < crossing.jobs.length; segment++) {
      const job = crossing.jobs[segment] as BatchJob;
      const result = new SegmentResult(worker, slot, segment, output);
      const { recordsIn } = result;
      if (matters.length === 0) this.#answer(stats, job, result);
      else this.#answerWith(stats, job, result, mattersWithin(matters, firstInput, recordsIn));
      firstInput += recordsIn;
    }
    stats.copyOut.add((this.#clock.nowMs() - copyFromMs) * 1e6);
  }

  /** Runs each call of a crossing again by itself, so that what one does is no other's harm. */
  runApart(crossing: Crossing): void {
    this.#breakers.abandon(crossing);
    for (const job of [...crossing.jobs].reverse()) {
      const alone = new Crossing([job]);
      if (job.cancelled) this.abandon(alone, leatError("CANCELLED"));
      else this.#again(alone);
    }
  }

  /** The crossing will not be run: answers its calls with the error. */
  abandon(crossing: Crossing, error: LeatError): void {
    this.#breakers.abandon(crossing);
    const stats =
      crossing.purpose === "serve" ? this.#stats.pipeline(crossing.pipeline.spec.name) : uncounted;
    for (const job of crossing.jobs) {
      job.trace?.finish(batchTiming(this.#clock.nowMs(), job, crossing, undefined, error));
      this.#fail(stats, job, error);
    }
  }

  /** The batch was cancelled while it waited. */
  withdrawn(job: BatchJob): void {
    const error = leatError("CANCELLED");
    const nowMs = this.#clock.nowMs();
    // The trace of a batch that has run is finished, and its aftermath's runs are counted with it.
    if (job.aftermath === undefined) job.trace?.finish(batchTiming(nowMs, job, undefined, undefined, error));
    if (job.owner.matters === undefined) this.#stats.pipeline(job.pipeline.spec.name).addError(error.reason);
  }

  /** A warm-up or a shadow has stopped its worker: it is not run again. */
  abandonWarmUp(crossing: Crossing): void {
    this.#breakers.abandon(crossing);
    const last = crossing.exclusions.at(-1);
    const problem =
      last === undefined
        ? "the worker was stopped"
        : `it ran too long or ended its worker at stage ${last.stage + 1}`;
    for (const job of crossing.jobs) {
      job.pipeline.arm?.failed();
      job.settle(leatError("WORKER_LOST", { problem }));
    }
  }

  /** Answers a batch that an aftermath has dealt with. */
  answer(job: BatchJob, result: BatchResult): void {
    this.#answer(this.#stats.pipeline(job.pipeline.spec.name), job, result);
  }

  /** Answers a batch unless its failures have to be dealt with first. */
  #answerWith(
    stats: PipelineStats,
    job: BatchJob,
    result: BatchResult,
    matters: readonly FailureMatter[],
  ): void {
    if (job.owner.matters !== undefined) {
      job.owner.matters(job, matters);
      this.#answer(stats, job, result);
    } else if (matters.length === 0 || job.cancelled) {
      this.#answer(stats, job, result);
    } else {
      this.#beginAftermath(job, result, matters);
      result.release();
    }
  }

  #answer(stats: PipelineStats, job: BatchJob, result: BatchResult): void {
    if (job.cancelled) {
      result.release();
      const error = leatError("CANCELLED");
      if (job.owner.matters === undefined) stats.addError(error.reason);
      job.settle(error);
      return;
    }
    // A run that is part of a batch's aftermath is counted with the batch.
    if (job.owner.matters !== undefined) {
      job.settle(result);
      return;
    }
    const { length } = result;
    stats.recordsIn += result.recordsIn;
    stats.recordsOut += result.recordsOut;
    stats.recordsFailed += result.recordsFailed;
    stats.bytesIn += job.byteLength;
    stats.bytesOut += length;
    job.settle(result);
    stats.success.add((this.#clock.nowMs() - job.admittedMs) * 1e6);
  }

  #fail(stats: PipelineStats, job: BatchJob, error: LeatError): void {
    stats.addError(error.reason);
    if (versionsErrors.has(error.reason)) job.pipeline.arm?.failed();
    job.settle(error);
  }

  #errorOf(worker: WorkerHandle, crossing: Crossing, slot: number): LeatError | undefined {
    const { words } = worker.memory;
    const base = worker.memory.slot(slot);
    const problem = crossing.report?.problem ?? "unknown";
    switch (words[base + Slot.outcome]) {
      case Outcome.result:
        return undefined;
      case Outcome.cancelled:
        return leatError("CANCELLED");
      case Outcome.malformed:
        return leatError("BATCH_MALFORMED", { problem });
      case Outcome.tooManyRecords:
        return leatError("BATCH_TOO_MANY_RECORDS", {
          limit: "maxBatchRecords",
          value: crossing.pipeline.spec.limits.maxBatchRecords,
          measured: words[base + Slot.recordsIn] as number,
        });
      case Outcome.uncompiled:
        return leatError("MODULE_COMPILE_FAILED", { problem });
      default:
        return leatError("INTERNAL", { problem });
    }
  }

  #trace(worker: WorkerHandle, crossing: Crossing, slot: number, error: LeatError | undefined): void {
    for (const job of crossing.jobs) {
      job.trace?.finish(batchTiming(this.#clock.nowMs(), job, crossing, { worker, slot }, error));
    }
  }
}

/** What a batch ends with for what its modules are or do; the others are the caller's or the server's doing. */
const versionsErrors: ReadonlySet<string> = new Set(["WORKER_LOST", "MODULE_COMPILE_FAILED", "INTERNAL"]);

const noMatters: readonly FailureMatter[] = [];

/** The matters of one call's inputs, with its own indexes. */
function mattersWithin(
  matters: readonly FailureMatter[],
  firstInput: number,
  inputs: number,
): FailureMatter[] {
  return matters
    .filter(({ index }) => index >= firstInput && index < firstInput + inputs)
    .map((matter) => ({ ...matter, index: matter.index - firstInput }));
}

/** Takes the figures of warm-ups, which nobody reads. */
const uncounted = new PipelineStats("warm-up");
