/**
 * What becomes of a crossing when it comes back from a worker: each of its calls gets its answer,
 * and the figures and traces get theirs.
 *
 * @module
 */

import { Outcome, Slot } from "../bridge/layout.ts";
import type { Clock } from "../clock.ts";
import { type LeatError, leatError } from "../errors.ts";
import type { Limits } from "../limits.ts";
import type { BatchJob, BatchResult } from "../pool/batch-job.ts";
import type { Crossing } from "../pool/crossing.ts";
import { SegmentResult } from "../pool/slot-result.ts";
import type { WorkerHandle } from "../pool/worker-handle.ts";
import { PipelineStats, type Stats } from "../telemetry/stats.ts";
import { countCrossing } from "./accounting.ts";
import { batchTiming } from "./timing.ts";

/** Answers crossings. */
export class Completion {
  readonly #limits: Readonly<Limits>;
  readonly #clock: Clock;
  readonly #stats: Stats;

  constructor(limits: Readonly<Limits>, clock: Clock, stats: Stats) {
    this.#limits = limits;
    this.#clock = clock;
    this.#stats = stats;
  }

  /** A worker has completed the crossing's slot. */
  completed(worker: WorkerHandle, crossing: Crossing, slot: number, output: Buffer | undefined): void {
    const stats =
      crossing.purpose === "serve" ? this.#stats.pipeline(crossing.pipeline.spec.name) : uncounted;
    if (crossing.purpose === "serve") countCrossing(stats, worker, crossing, slot);
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
    for (let segment = 0; segment < crossing.jobs.length; segment++) {
      const job = crossing.jobs[segment] as BatchJob;
      this.#answer(stats, job, new SegmentResult(worker, slot, segment, output));
    }
    stats.copyOut.add((this.#clock.nowMs() - copyFromMs) * 1e6);
  }

  /** The crossing will not be run: answers its calls with the error. */
  abandon(crossing: Crossing, error: LeatError): void {
    const stats =
      crossing.purpose === "serve" ? this.#stats.pipeline(crossing.pipeline.spec.name) : uncounted;
    for (const job of crossing.jobs) {
      job.trace?.finish(batchTiming(this.#clock.nowMs(), job, crossing, undefined, error));
      this.#fail(stats, job, error);
    }
  }

  /** A warm-up has stopped its worker: it is not run again. */
  abandonWarmUp(crossing: Crossing): void {
    const last = crossing.exclusions.at(-1);
    const problem =
      last === undefined
        ? "the worker was stopped"
        : `it ran too long or ended its worker at stage ${last.stage + 1}`;
    for (const job of crossing.jobs) job.settle(leatError("WORKER_LOST", { problem }));
  }

  #answer(stats: PipelineStats, job: BatchJob, result: BatchResult): void {
    if (job.cancelled) {
      result.release();
      job.settle(leatError("CANCELLED"));
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
          value: this.#limits.maxBatchRecords,
          measured: words[base + Slot.recordsIn] as number,
        });
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

/** Takes the figures of warm-ups, which nobody reads. */
const uncounted = new PipelineStats("warm-up");
