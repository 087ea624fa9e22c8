/**
 * What comes after a run with failures that a policy deals with: the records are tried again after a wait,
 * and those that fail for good become dead letters where their stage says so. The batch is answered when all that is done.
 *
 * @module
 */

import type { FailureMatter } from "../bridge/from-worker.ts";
import type { Clock } from "../clock.ts";
import { LeatError } from "../errors.ts";
import { BatchJob, type BatchOwner, type BatchResult } from "../pool/batch-job.ts";
import { recordBodies } from "../record/batch.ts";
import type { DeadLetterSink } from "../store/dead-letter-store.ts";
import type { BatchTracer } from "../telemetry/batch-trace.ts";
import type { Stats } from "../telemetry/stats.ts";
import { type LetterOf, writeLetters } from "./dead-letters.ts";
import { type InputPart, readParts, writeParts } from "./result-parts.ts";
import { planRetries, type RetryWait } from "./retry-plan.ts";

/** What the aftermath works with. */
export interface AftermathParts {
  readonly clock: Clock;
  readonly stats: Stats;
  readonly tracer: BatchTracer;
  /** A number from 0 to 1, for the waits. */
  readonly random: () => number;
  /** Runs a job that needs no admission: it is part of one that was admitted. */
  readonly submit: (job: BatchJob) => void;
  /** Answers a job and counts it. */
  readonly answer: (job: BatchJob, result: BatchResult) => void;
  /** Keeps dead letters; undefined where there is no store. */
  readonly deadLetters: DeadLetterSink | undefined;
  /** Told when letters could not be kept. */
  readonly onLettersLost: (error: unknown, count: number) => void;
}

/** Settles one batch's failures. */
export class Aftermath {
  readonly #parts: AftermathParts;
  readonly #job: BatchJob;
  readonly #inputs: InputPart[];
  readonly #tries: Uint32Array;
  /** What each input's last run said, by input. */
  readonly #matters = new Map<number, FailureMatter[]>();
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #running = new Set<BatchJob>();

  private constructor(parts: AftermathParts, job: BatchJob, result: BatchResult) {
    this.#parts = parts;
    this.#job = job;
    this.#inputs = readParts(result);
    this.#tries = new Uint32Array(this.#inputs.length).fill(1);
  }

  /**
   * Takes a batch over whose first run is done.
   *
   * @param result - is copied, not released
   * @param matters - with indexes into this batch
   */
  static begin(
    parts: AftermathParts,
    job: BatchJob,
    result: BatchResult,
    matters: readonly FailureMatter[],
  ): void {
    const aftermath = new Aftermath(parts, job, result);
    job.aftermath = aftermath;
    job.crossing = undefined;
    aftermath.#take(matters);
    aftermath.#finishIfDone();
  }

  /** Nobody waits for the batch any more. */
  abandon(nowMs: number): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    for (const job of this.#running) job.cancel(nowMs);
  }

  /** Sorts what a run left over: what is tried again waits; the rest stays as it is. */
  #take(matters: readonly FailureMatter[]): void {
    for (const matter of matters) {
      const known = this.#matters.get(matter.index);
      if (known === undefined) this.#matters.set(matter.index, [matter]);
      else known.push(matter);
    }
    const { clock, random } = this.#parts;
    // Whom a wait outlives, it keeps from everything that is known now.
    const leftMs = this.#job.deadlineMs - clock.nowMs();
    for (const wait of planRetries(matters, this.#job.pipeline.spec.stages, this.#tries, random))
      if (wait.waitMs < leftMs) this.#wait(wait);
  }

  #wait({ stage, waitMs, indexes }: RetryWait): void {
    const { spec } = this.#job.pipeline;
    const stageSpec = spec.stages[stage];
    if (stageSpec === undefined) return;
    this.#parts.stats.pipeline(spec.name).stage(stage, stageSpec.identity).retries += indexes.length;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      this.#run(indexes);
    }, waitMs);
    this.#timers.add(timer);
  }

  /** Runs some inputs again, from the first stage. */
  #run(indexes: readonly number[]): void {
    const { bytes, start, end, pipeline, trace } = this.#job;
    const bodies = recordBodies(bytes, start, end);
    const batch = Buffer.concat(indexes.map((index) => bodies[index]?.framed ?? Buffer.alloc(0)));
    let matters: readonly FailureMatter[] = [];
    const owner: BatchOwner = {
      matters: (_, found) => {
        matters = found;
      },
      settled: (job, outcome) => {
        this.#running.delete(job);
        this.#merge(indexes, outcome, matters);
      },
    };
    const whole = { bytes: batch, start: 0, end: batch.length, mergeable: false, sequence: 0, streamId: "" };
    const job = new BatchJob(owner, pipeline, whole, this.#parts.clock.nowMs());
    job.priorAttempts = this.#tries[indexes[0] as number] as number;
    if (trace !== undefined) {
      const parent = `00-${trace.traceId}-${trace.spanId}-01`;
      job.trace = this.#parts.tracer.start("batch", pipeline.spec.name, parent);
    }
    this.#running.add(job);
    this.#parts.submit(job);
  }

  #merge(
    indexes: readonly number[],
    outcome: BatchResult | LeatError,
    matters: readonly FailureMatter[],
  ): void {
    // Nobody waits for what a batch gave that was cancelled, and its tries are not used up: it makes no letters.
    if (this.#job.cancelled || this.#job.settled) {
      if (!(outcome instanceof LeatError)) outcome.release();
      return;
    }
    // A run that could not happen (the breaker opened, say) leaves the failures as they were.
    if (!(outcome instanceof LeatError)) {
      readParts(outcome).forEach((part, position) => {
        const index = indexes[position] as number;
        const attempts = (this.#tries[index] as number) + 1;
        this.#tries[index] = attempts;
        this.#matters.delete(index);
        const failures = part.failures.map((failure) => ({ ...failure, attempts }));
        this.#inputs[index] = { outputs: part.outputs, failures };
      });
      outcome.release();
      this.#take(matters.map((matter) => ({ ...matter, index: indexes[matter.index] as number })));
    }
    this.#finishIfDone();
  }

  #finishIfDone(): void {
    if (this.#timers.size > 0 || this.#running.size > 0) return;
    this.#keepLetters()
      .then(() => writeParts(this.#inputs))
      .then(
        (result) => {
          if (!this.#job.settled) this.#parts.answer(this.#job, result);
        },
        (error) => {
          if (!this.#job.settled) this.#job.settle(LeatError.from(error));
        },
      );
  }

  /** Keeps what failed for good; a failure whose letter cannot be kept goes to the caller without an id. */
  async #keepLetters(): Promise<void> {
    // The letter that is run again stands for whatever comes of it. To write another one and remove it would leave both
    // when the process dies in between.
    if (this.#job.replayed) return;
    const letters: LetterOf[] = [];
    for (const [index, matters] of this.#matters) {
      for (const [place, matter] of matters.filter(({ letter }) => letter).entries()) {
        letters.push({ index, place, matter, attempts: this.#tries[index] as number });
      }
    }
    if (letters.length === 0) return;
    const { deadLetters, stats, clock, onLettersLost } = this.#parts;
    try {
      if (deadLetters === undefined) throw new Error("the server keeps no dead letters");
      const ids = await writeLetters(deadLetters, this.#job, letters, clock.wallMs());
      for (const [position, letter] of letters.entries()) this.#addId(letter, ids[position] as string, stats);
    } catch (error) {
      onLettersLost(error, letters.length);
    }
  }

  #addId({ index, matter }: LetterOf, id: string, stats: Stats): void {
    const { spec } = this.#job.pipeline;
    const stage = spec.stages[matter.stage];
    if (stage === undefined) return;
    stats.pipeline(spec.name).stage(matter.stage, stage.identity).deadLetters++;
    const part = this.#inputs[index] as InputPart;
    let given = false;
    const failures = part.failures.map((failure) => {
      if (given || failure.stage !== stage.name || failure.deadLetterId !== "") return failure;
      given = true;
      return { ...failure, deadLetterId: id };
    });
    this.#inputs[index] = { ...part, failures };
  }
}
