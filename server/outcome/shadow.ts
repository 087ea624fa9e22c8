/**
 * Runs a version on copies of batches that another one answers, and compares. Nobody waits for it: it is left out as
 * soon as anything else waits for a worker, and what it holds is bounded.
 *
 * @module
 */

import type { PipelineSpec } from "../bridge/pipeline-spec.ts";
import type { Clock } from "../clock.ts";
import { LeatError } from "../errors.ts";
import type { Limits } from "../limits.ts";
import { BatchJob, type BatchOwner, type BatchResult } from "../pool/batch-job.ts";
import type { ServingPipeline, ShadowTap } from "../pool/serving-pipeline.ts";
import { type ResultDifference, resultDifference } from "./result-difference.ts";

/** What a sample of a difference keeps of a value. */
const maxSampleBytes = 1_024;

/** A difference with the pipeline in which it was seen. */
export interface ShadowSample extends ResultDifference {
  readonly pipeline: string;
}

/** What was found so far. */
export class ShadowReport {
  /** Batches that both versions ran. */
  compared = 0;
  /** Those of which the versions made something else. */
  different = 0;
  /** Batches that were left out because there was no room. */
  dropped = 0;
  /** The first differences. */
  readonly samples: ShadowSample[] = [];
}

/** What all shadows of a server share. */
export interface ShadowParts {
  readonly limits: Pick<Limits, "maxShadowBatches" | "maxShadowBytes" | "maxShadowSamples">;
  readonly clock: Clock;
  readonly random: () => number;
  /** Sends a batch to the workers. */
  readonly submit: (job: BatchJob) => void;
  /** Whether nothing waits for a worker, and one has room. */
  readonly idle: (pipeline: PipelineSpec) => boolean;
  /** What is under way. */
  readonly held: { batches: number; bytes: number };
}

/** The shadow of one pipeline. */
export class Shadow implements ShadowTap {
  readonly #parts: ShadowParts;
  readonly #candidate: ServingPipeline;
  readonly #share: number;
  readonly #report: ShadowReport;

  /** @param candidate - the pipeline with the version that is tried */
  constructor(parts: ShadowParts, candidate: ServingPipeline, share: number, report: ShadowReport) {
    this.#parts = parts;
    this.#candidate = candidate;
    this.#share = share;
    this.#report = report;
  }

  watch(owner: BatchOwner): BatchOwner {
    if (this.#parts.random() >= this.#share) return owner;
    return {
      settled: (job, outcome) => {
        // The owner gives the result's memory back, so it is copied before.
        const run = outcome instanceof LeatError || job.cancelled ? undefined : this.#copy(job, outcome);
        owner.settled(job, outcome);
        if (run !== undefined) this.#parts.submit(run);
      },
    };
  }

  #copy(job: BatchJob, result: BatchResult): BatchJob | undefined {
    const { limits, held, idle, clock } = this.#parts;
    const bytes = job.byteLength + result.length;
    const fits = held.batches < limits.maxShadowBatches && held.bytes + bytes <= limits.maxShadowBytes;
    if (!fits || !idle(this.#candidate.spec)) {
      this.#report.dropped++;
      return undefined;
    }
    held.batches++;
    held.bytes += bytes;
    const expected = Buffer.from(result.bytes.subarray(result.start, result.start + result.length));
    const owner: BatchOwner = {
      // Retries and dead letters are the business of the version that answers.
      matters: () => {},
      settled: (_, outcome) => {
        held.batches--;
        held.bytes -= bytes;
        if (outcome instanceof LeatError) return;
        this.#compare(expected, outcome.bytes.subarray(outcome.start, outcome.start + outcome.length));
        outcome.release();
      },
    };
    const batch = { bytes: job.bytes, start: job.start, end: job.end };
    return new BatchJob(
      owner,
      this.#candidate,
      { ...batch, mergeable: false, sequence: 0, streamId: "" },
      clock.nowMs(),
    );
  }

  #compare(expected: Buffer, given: Buffer): void {
    this.#report.compared++;
    const difference = resultDifference(expected, given);
    if (difference === undefined) return;
    this.#report.different++;
    if (this.#report.samples.length >= this.#parts.limits.maxShadowSamples) return;
    const cut = (value: Uint8Array): Uint8Array => new Uint8Array(value.subarray(0, maxSampleBytes));
    this.#report.samples.push({
      ...difference,
      pipeline: this.#candidate.spec.name.replace(/^shadow:/, ""),
      base: cut(difference.base),
      candidate: cut(difference.candidate),
    });
  }
}
