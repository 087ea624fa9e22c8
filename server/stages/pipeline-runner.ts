/**
 * Runs a batch through the stages of a pipeline. Bytes go from one guest's memory to the next;
 * nothing is decoded between stages.
 *
 * @module
 */

import type { FailureMatter, FailureSample, StageFailures } from "../bridge/from-worker.ts";
import type { PipelineSpec } from "../bridge/pipeline-spec.ts";
import { HostAbort } from "../module/trap.ts";
import { type Failure, mostFailures } from "../record/result.ts";
import { Composition } from "./composition.ts";
import { mattersFor } from "./matters.ts";
import { passFailedThrough } from "./pass-through.ts";
import type { RunContext } from "./run-context.ts";
import type { Selection } from "./selection.ts";
import type { Exclusion, StageFailure, StageInput, StageOutput } from "./stage-io.ts";
import { StageRunner } from "./stage-runner.ts";

/** Receives what is measured of each stage. */
export interface StageProbe {
  /** It is a stage's turn. */
  begin(stage: number): void;
  /** Its module is about to be called. */
  call(stage: number): void;
  /** A stage has run some records; `skipped` others passed it by. */
  end(stage: number, records: StageRecords, runner: StageRunner): void;
  /** All records have passed a stage by: its module was not called. */
  skip(stage: number, records: number): void;
}

/** What became of the records of a stage. */
export interface StageRecords {
  in: number;
  out: number;
  failed: number;
  skipped: number;
}

/** One pipeline in one worker. After {@link run}, its fields hold what came out until {@link release}. */
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
  readonly #counted: StageRecords = { in: 0, out: 0, failed: 0, skipped: 0 };

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
      const present = this.composition.records;
      probe.begin(runner.index);
      const chosen = this.#choose(runner);
      if (chosen === 0 && present > 0) {
        probe.skip(runner.index, present);
        continue;
      }
      probe.call(runner.index);
      const counted = this.#counted;
      counted.failed = this.#runStage(runner, chosen, exclusions?.get(runner.index));
      counted.in = chosen;
      counted.skipped = present - chosen;
      counted.out = this.composition.records - counted.skipped;
      probe.end(runner.index, counted, runner);
    }
    this.composition.finish();
    if (this.failures.length > 1) this.failures.sort((a, b) => a.index - b.index);
  }

  /** What came out was used: lets go of it. A worker has more pipelines than it has memory for a batch of each. */
  release(): void {
    this.bytes = nothing;
    for (let index = 0; index < this.stages.length; index++) (this.stages[index] as StageRunner).release();
    if (this.samples.length === 0) return;
    this.failures.length = 0;
    this.failureCounts.length = 0;
    this.samples.length = 0;
    this.matters.length = 0;
  }

  /** Drops all instances. */
  discard(): void {
    for (const stage of this.stages) stage.discard();
  }

  #reset(bytes: Uint8Array, start: number, end: number, records: number): void {
    this.bytes = bytes;
    this.start = start;
    this.end = end;
    this.composition.begin(records);
  }

  /** How many records the stage runs. */
  #choose({ condition }: StageRunner): number {
    const { records } = this.composition;
    if (condition === undefined) return records;
    return this.#context.selection.select(condition, this.bytes, this.start, this.end, records);
  }

  /** @param chosen - how many records it runs: all of them, or those that were selected */
  #runStage(runner: StageRunner, chosen: number, exclusions: readonly Exclusion[] | undefined): number {
    const whole = { bytes: this.bytes, start: this.start, end: this.end, records: this.composition.records };
    const selection = chosen < whole.records ? this.#context.selection : undefined;
    const input = selection === undefined ? whole : selection.gather(whole, chosen);
    runner.besideRecords = whole.records - chosen;
    runner.besideBytes = selection === undefined ? 0 : selection.besideBytes;
    runner.room = mostFailures(this.#context.limits) - whole.records - this.failures.length;
    runner.run(input, exclusions);
    const { output } = runner;
    const failed = output.failed.length;
    if (failed > 0) {
      if (runner.spec.onFailure === "pass") passFailedThrough(runner, input);
      this.#note(runner, output.failed, input, selection);
    } else if (runner.lastFault !== undefined && input.records === 0) {
      const { code, message } = runner.lastFault;
      this.#sample(runner, { index: 0, code, message, retryable: false }, 0);
    }
    if (selection === undefined) this.#take(output);
    else this.#takeMerged(selection, whole, output);
    return failed;
  }

  #take(output: StageOutput): void {
    if (output.hasFanout) this.composition.apply(output.fanout, output.records);
    this.bytes = output.bytes;
    this.start = output.batchStart;
    this.end = output.batchEnd;
  }

  #takeMerged(selection: Selection, whole: StageInput, output: StageOutput): void {
    selection.merge(whole, output);
    this.composition.apply(selection.fanout, selection.records);
    this.bytes = selection.bytes;
    this.start = 0;
    this.end = selection.end;
  }

  #note(
    runner: StageRunner,
    failed: readonly StageFailure[],
    input: StageInput,
    selection: Selection | undefined,
  ): void {
    const { name, onFailure } = runner.spec;
    const matter = mattersFor(runner, input);
    const places = selection?.places(input.records);
    const counts = new Map<string, number>();
    const { maxFailureMessages } = this.#context.limits;
    for (const failure of failed) {
      counts.set(failure.code, (counts.get(failure.code) ?? 0) + 1);
      const index = this.composition.originOf(places?.[failure.index] ?? failure.index);
      this.#sample(runner, failure, index);
      if (matter !== undefined) this.#addMatters(matter(failure, index));
      if ((onFailure === "drop" || onFailure === "pass") && failure.noRoom === undefined) continue;
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

  /** One that is tried again stands for all of its input at the stage: the input is run again as a whole. */
  #addMatters(made: readonly FailureMatter[]): void {
    for (const matter of made) {
      const last = this.matters.at(-1);
      const told = !matter.letter && last?.index === matter.index && last.stage === matter.stage;
      if (!told) this.matters.push(matter);
    }
  }

  #sample(runner: StageRunner, failure: StageFailure, index: number): void {
    // The first one says that there is something to report at all.
    if (this.samples.length >= Math.max(1, this.#context.limits.maxFailureEventsPerTrace)) return;
    const { code, message } = failure;
    this.samples.push({
      index,
      code,
      message,
      stage: runner.spec.name,
    });
  }
}

const nothing = new Uint8Array(0);
