/**
 * What comes after a run with failures that a policy deals with: the records are tried again after a wait,
 * and those that fail for good become dead letters where their stage says so. The batch is answered when all that is done.
 *
 * @module
 */

import type { FailureMatter } from "../bridge/from-worker.ts";
import type { Clock } from "../clock.ts";
import { LeatError, type RecordFailureCode } from "../errors.ts";
import type { Limits } from "../limits.ts";
import { BatchJob, type BatchOwner, type BatchResult } from "../pool/batch-job.ts";
import { recordBodies } from "../record/batch.ts";
import type { DeadLetterSink } from "../store/dead-letter-store.ts";
import type { BatchTracer } from "../telemetry/batch-trace.ts";
import type { Stats } from "../telemetry/stats.ts";
import { type LetterOf, writeLetters } from "./dead-letters.ts";
import { type InputPart, partBytes, readParts, writeParts } from "./result-parts.ts";
import { planRetries, type RetryWait } from "./retry-plan.ts";

/** What the aftermath works with. */
export interface AftermathParts {
  readonly limits: Pick<Limits, "maxHeldResultBytes">;
  /** The results that all aftermaths of a server hold. */
  readonly held: { bytes: number };
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
  /** What it holds of results: parts of each may be in the answer, so all count until that is given. */
  #heldBytes = 0;
  /** How large the result is as it stands. */
  #bytes: number;
  #records: number;

  private constructor(parts: AftermathParts, job: BatchJob, result: BatchResult) {
    this.#parts = parts;
    this.#job = job;
    this.#inputs = readParts(result);
    this.#tries = new Uint32Array(this.#inputs.length).fill(1);
    this.#bytes = result.length;
    this.#records = result.recordsOut;
    this.#hold(result.length);
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
    job.beginAftermath(aftermath);
    aftermath.#take(matters);
    aftermath.#finishIfDone();
  }

  /** Nobody waits for the batch any more. */
  abandon(nowMs: number): void {
    this.#endWaits();
    this.#letGo();
    for (const job of this.#running) job.cancel(nowMs);
  }

  /** Sorts what a run left over: what is tried again waits; the rest stays as it is. */
  #take(matters: readonly FailureMatter[]): void {
    for (const matter of matters) {
      const known = this.#matters.get(matter.index);
      if (known === undefined) this.#matters.set(matter.index, [matter]);
      else known.push(matter);
    }
    const { clock, random, limits, held } = this.#parts;
    if (held.bytes > limits.maxHeldResultBytes) {
      this.#endWaits();
      return;
    }
    // Whom a wait outlives, it keeps from everything that is known now.
    const leftMs = this.#job.deadlineMs - clock.nowMs();
    for (const wait of planRetries(matters, this.#job.pipeline.spec.stages, this.#tries, random))
      if (wait.waitMs < leftMs) this.#wait(wait);
  }

  #wait(wait: RetryWait): void {
    const { stage, waitMs, indexes } = wait;
    const { spec } = this.#job.pipeline;
    const stageSpec = spec.stages[stage];
    if (stageSpec === undefined) return;
    this.#parts.stats.pipeline(spec.name).stage(stage, stageSpec.identity).retries += indexes.length;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      this.#run(wait);
    }, waitMs);
    this.#timers.add(timer);
  }

  /** Runs some inputs again, from the first stage. */
  #run(wait: RetryWait): void {
    const { indexes } = wait;
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
        this.#merge(wait, outcome, matters);
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

  #merge(wait: RetryWait, outcome: BatchResult | LeatError, matters: readonly FailureMatter[]): void {
    // Nobody waits for what a batch gave that was cancelled, and its tries are not used up: it makes no letters.
    if (this.#job.cancelled || this.#job.settled) {
      if (!(outcome instanceof LeatError)) outcome.release();
      return;
    }
    // A run that could not happen (the breaker opened, say) leaves the failures as they were.
    if (!(outcome instanceof LeatError)) {
      this.#hold(outcome.length);
      const refused = new Set<number>();
      readParts(outcome).forEach((part, position) => {
        const index = wait.indexes[position] as number;
        if (!this.#replace(index, wait.stage, part)) refused.add(index);
      });
      outcome.release();
      const left = matters.map((matter) => ({ ...matter, index: wait.indexes[matter.index] as number }));
      this.#take(left.filter(({ index }) => !refused.has(index)));
    }
    this.#finishIfDone();
  }

  /** Puts what an input gave in the place of what it gave before. @returns false where that finds no room, so that it failed */
  #replace(index: number, stage: number, part: InputPart): boolean {
    const attempts = (this.#tries[index] as number) + 1;
    this.#tries[index] = attempts;
    const before = this.#inputs[index] as InputPart;
    const after = { ...part, failures: part.failures.map((failure) => ({ ...failure, attempts })) };
    const { maxResultBytes, maxResultRecords } = this.#job.pipeline.spec.limits;
    const bytes = this.#bytes - partBytes(before) + partBytes(after);
    const records = this.#records - before.outputs.length + after.outputs.length;
    const fits = bytes <= maxResultBytes && records <= maxResultRecords;
    if (fits || after.outputs.length === 0) {
      this.#matters.delete(index);
      this.#inputs[index] = after;
      this.#bytes = bytes;
      this.#records = records;
      return true;
    }
    const message =
      bytes > maxResultBytes
        ? `with what its last try gave, the batch's result has ${bytes} bytes, the limit maxResultBytes is ${maxResultBytes}`
        : `with what its last try gave, the batch's result has ${records} records, the limit maxResultRecords is ${maxResultRecords}`;
    this.#refuse(index, stage, { code: "output_too_large", message, attempts });
    return false;
  }

  /** The failure for which an input was tried again stays, with another reason; the stage's policy has had its way with it. */
  #refuse(
    index: number,
    stage: number,
    reason: { readonly code: RecordFailureCode; readonly message: string; readonly attempts: number },
  ): void {
    const { spec } = this.#job.pipeline;
    const stageSpec = spec.stages[stage];
    if (stageSpec === undefined) return;
    const { code, message, attempts } = reason;
    this.#parts.stats.pipeline(spec.name).stage(stage, stageSpec.identity).addFailure(code);
    const before = this.#inputs[index] as InputPart;
    const after = {
      ...before,
      failures: before.failures.map((failure) =>
        failure.stage === stageSpec.name
          ? { ...failure, code, message, attempts, retryable: false }
          : { ...failure, attempts },
      ),
    };
    this.#inputs[index] = after;
    this.#bytes += partBytes(after) - partBytes(before);
    const matters = this.#matters.get(index) ?? [];
    this.#matters.set(
      index,
      matters.map((matter) => (matter.stage === stage ? { ...matter, code, message, retry: false } : matter)),
    );
  }

  #hold(bytes: number): void {
    this.#heldBytes += bytes;
    this.#parts.held.bytes += bytes;
  }

  #letGo(): void {
    this.#parts.held.bytes -= this.#heldBytes;
    this.#heldBytes = 0;
  }

  #endWaits(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }

  #finishIfDone(): void {
    if (this.#timers.size > 0 || this.#running.size > 0) return;
    this.#keepLetters()
      .then(() => writeParts(this.#inputs))
      .then(
        (result) => {
          this.#letGo();
          if (!this.#job.settled) this.#parts.answer(this.#job, result);
        },
        (error) => {
          this.#letGo();
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
