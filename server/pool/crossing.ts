/**
 * One trip to a worker and back, of one batch or of several small ones.
 *
 * @module
 */

import type { FailureMatter, FailureSample, StageFailures } from "../bridge/from-worker.ts";
import { maxExclusions } from "../bridge/layout.ts";
import type { BatchJob } from "./batch-job.ts";
import type { PipelinePurpose, ServingPipeline } from "./serving-pipeline.ts";

/** A record that must not be run again, as it goes into the slot: numbers of the bridge's layout. */
export interface CrossingExclusion {
  readonly stage: number;
  readonly record: number;
  readonly code: number;
  /** What had been measured when it was stopped; undefined where it was not for a limit. */
  readonly measured?: { readonly wallMs: number; readonly cpuMs: number | undefined } | undefined;
}

/** What the worker said about a run that had failures. */
export interface CrossingReport {
  readonly problem?: string;
  readonly failures: readonly StageFailures[];
  readonly samples: readonly FailureSample[];
  readonly matters: readonly FailureMatter[];
}

/** Tells the guest of a slot that nobody waits for it any more. */
export interface SlotCanceller {
  cancelSlot(slot: number): void;
}

/** Most crossings never exclude anything. */
const noExclusions: readonly CrossingExclusion[] = [];

/** A module whose half-open breaker a crossing tries, and by what the breaker knows the try again. */
export interface CrossingProbe {
  readonly digest: string;
  readonly probe: symbol;
}

const noProbes: readonly CrossingProbe[] = [];

/** One or more jobs of one pipeline that run together. */
export class Crossing {
  /** Only what serves is counted among the pipeline's figures, and run again when it has stopped a worker. */
  readonly purpose: PipelinePurpose | "warm-up";
  readonly pipeline: ServingPipeline;
  readonly jobs: readonly BatchJob[];
  readonly byteLength: number;
  /** When the last run left the queue. */
  startedMs = 0;
  /** How long copying the input took, in milliseconds. */
  copyInMs = 0;
  /** How often it was started; more than once when a worker was stopped under it. */
  attempts = 0;
  /** Counts submissions to the worker that runs it, to tell their order. */
  submission = 0;
  /** How often a worker has died under it, rather than been stopped. */
  losses = 0;
  /** Milliseconds it ran in workers that were stopped. */
  spentMs = 0;
  /** Whether batches of other pipelines were taken from behind it, since it held its worker up. */
  heldOthers = false;
  /** When the last of its callers went away; undefined while one waits. */
  cancelledMs: number | undefined = undefined;
  /** Records that stopped a worker before. */
  exclusions: readonly CrossingExclusion[] = noExclusions;
  /** Modules whose half-open breakers this crossing tries. */
  probes: readonly CrossingProbe[] = noProbes;
  report: CrossingReport | undefined = undefined;
  #worker: SlotCanceller | undefined = undefined;
  #slot = -1;

  constructor(jobs: readonly BatchJob[], purpose?: "warm-up") {
    const [first] = jobs;
    if (first === undefined) throw new Error("a crossing without a job");
    this.purpose = purpose ?? first.pipeline.purpose;
    this.pipeline = first.pipeline;
    this.jobs = jobs;
    let byteLength = 0;
    for (let index = 0; index < jobs.length; index++) {
      const job = jobs[index] as BatchJob;
      byteLength += job.byteLength;
      job.crossing = this;
    }
    this.byteLength = byteLength;
  }

  /** It runs now, in a worker's slot. */
  running(worker: SlotCanceller, slot: number, submission: number): void {
    this.attempts++;
    this.report = undefined;
    this.submission = submission;
    this.#worker = worker;
    this.#slot = slot;
  }

  /** It waits again: the slot that it was in is another's from now on. */
  waits(): void {
    this.#worker = undefined;
  }

  /** One of its jobs was cancelled; when none is left that anyone waits for, the guest is told. */
  noteCancelled(nowMs: number): void {
    if (this.cancelledMs !== undefined || !this.jobs.every((job) => job.cancelled)) return;
    this.cancelledMs = nowMs;
    this.#worker?.cancelSlot(this.#slot);
  }

  /** Whether there is room to remember another record. */
  get canExclude(): boolean {
    return this.exclusions.length < maxExclusions;
  }
}
