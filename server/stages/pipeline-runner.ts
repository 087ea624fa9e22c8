/**
 * Runs a batch through the stages of a pipeline. Bytes go from one guest's memory to the next;
 * nothing is decoded between stages.
 *
 * @module
 */

import type { FailureMatter, FailureSample, StageFailures } from "../bridge/from-worker.ts";
import type { PipelineSpec } from "../bridge/pipeline-spec.ts";
import { HostAbort } from "../module/trap.ts";
import type { Failure } from "../record/result.ts";
import { Composition } from "./composition.ts";
import { mattersFor } from "./matters.ts";
import { passFailedThrough } from "./pass-through.ts";
import type { RunContext } from "./run-context.ts";
import type { Exclusion, StageFailure, StageInput } from "./stage-io.ts";
import { StageRunner } from "./stage-runner.ts";

/** Receives what is measured of each stage. */
export interface StageProbe {
  /** A stage is about to run. */
  begin(stage: number): void;
  /** A stage has run. */
  end(stage: number, recordsIn: number, recordsOut: number, recordsFailed: number, runner: StageRunner): void;
}

/** One pipeline in one worker. After {@link run}, its fields hold what came out until the next run. */
export class PipelineRunner {
  readonly spec: PipelineSpec;
  readonly stages: readonly StageRunner[];
  readonly composition = new Composition();
  /** Where the output batch lies. */
  bytes: Uint8Array = nothing;
  start = 0;
  end = 0;
  /** What is reported to the caller, in ascending order of the inputs. */
  readonly failures: Failure[] = [];
  /** All failures counted by stage and code, including those the policy hides from the caller. */
  readonly failureCounts: StageFailures[] = [];
  /** The first of all failures. */
  readonly samples: FailureSample[] = [];
  /** Failures that are tried again or become dead letters. */
  readonly matters: FailureMatter[] = [];
  readonly #context: RunContext;

  constructor(spec: PipelineSpec, context: RunContext, onCreate: (runner: StageRunner) => void) {
    this.spec = spec;
    this.#context = context;
    this.stages = spec.stages.map(
      (stage, index) => new StageRunner(stage, index, spec.id, context, onCreate),
    );
  }

  /**
   * Runs one batch that was checked before.
   *
   * @param exclusions - by stage, the records that must not be run again
   * @throws HostAbort when the batch was cancelled
   */
  run(
    bytes: Uint8Array,
    start: number,
    end: number,
    records: number,
    exclusions: ReadonlyMap<number, readonly Exclusion[]> | undefined,
    probe: StageProbe,
  ): void {
    this.#reset(bytes, start, end, records);
    for (const runner of this.stages) {
      if (this.#context.cancelled) throw new HostAbort("cancelled");
      if (this.composition.records === 0 && records > 0) break;
      probe.begin(runner.index);
      const recordsIn = this.composition.records;
      const failed = this.#runStage(runner, exclusions?.get(runner.index));
      probe.end(runner.index, recordsIn, this.composition.records, failed, runner);
    }
    this.composition.finish();
    if (this.failures.length > 1) this.failures.sort((a, b) => a.index - b.index);
  }

  /** Drops all instances. */
  discard(): void {
    for (const stage of this.stages) stage.discard();
  }

  #reset(bytes: Uint8Array, start: number, end: number, records: number): void {
    this.bytes = bytes;
    this.start = start;
    this.end = end;
    if (this.samples.length > 0) {
      this.failures.length = 0;
      this.failureCounts.length = 0;
      this.samples.length = 0;
      this.matters.length = 0;
    }
    this.composition.begin(records);
  }

  #runStage(runner: StageRunner, exclusions: readonly Exclusion[] | undefined): number {
    const input = { bytes: this.bytes, start: this.start, end: this.end, records: this.composition.records };
    runner.run(input, exclusions);
    const { output } = runner;
    const failed = output.failed.length;
    if (failed > 0) {
      this.#note(runner, output.failed, input);
      if (runner.spec.onFailure === "pass") passFailedThrough(input, output);
    } else if (runner.lastFault !== undefined && input.records === 0) {
      const { code, message } = runner.lastFault;
      this.#sample(runner, { index: 0, code, message, retryable: false });
    }
    if (output.hasFanout) this.composition.apply(output.fanout, output.records);
    this.bytes = output.bytes;
    this.start = output.batchStart;
    this.end = output.batchEnd;
    return failed;
  }

  #note(runner: StageRunner, failed: readonly StageFailure[], input: StageInput): void {
    const { name, onFailure } = runner.spec;
    const matter = mattersFor(runner, input);
    const counts = new Map<string, number>();
    const { maxFailureMessages } = this.#context.limits;
    for (const failure of failed) {
      counts.set(failure.code, (counts.get(failure.code) ?? 0) + 1);
      this.#sample(runner, failure);
      const index = this.composition.originOf(failure.index);
      if (matter !== undefined) this.matters.push(...matter(failure, index));
      if (onFailure !== "fail" && onFailure !== "dead_letter") continue;
      const { code, retryable } = failure;
      const message = this.failures.length < maxFailureMessages ? failure.message : "";
      this.failures.push({
        index,
        code,
        message,
        stage: name,
        attempts: 1,
        retryable,
      });
    }
    for (const [code, count] of counts) this.failureCounts.push({ stage: runner.index, code, count });
  }

  #sample(runner: StageRunner, failure: StageFailure): void {
    if (this.samples.length >= this.#context.limits.maxFailureEventsPerTrace) return;
    const { code, message } = failure;
    this.samples.push({
      index: this.composition.originOf(failure.index),
      code,
      message,
      stage: runner.spec.name,
    });
  }
}

const nothing = new Uint8Array(0);
