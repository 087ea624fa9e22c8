import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { RecordBatchSchema, TransformResultSchema } from "@leat/proto";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { idlePipeline, idleStage } from "../../test/kit/jobs.ts";
import type { FailureMatter } from "../bridge/from-worker.ts";
import type { RetrySpec } from "../bridge/pipeline-spec.ts";
import { type LeatError, leatError } from "../errors.ts";
import { defaultLimits } from "../limits.ts";
import { BatchJob, type BatchOwner, type BatchResult } from "../pool/batch-job.ts";
import { Crossing } from "../pool/crossing.ts";
import type { DeadLetterDraft } from "../store/dead-letter-store.ts";
import { BatchTracer } from "../telemetry/batch-trace.ts";
import { Stats } from "../telemetry/stats.ts";
import { Aftermath, type AftermathParts } from "./aftermath.ts";
import { backoffMs } from "./backoff.ts";

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

const retrySpecs: fc.Arbitrary<RetrySpec> = fc.record({
  attempts: fc.integer({ min: 1, max: 6 }),
  initialBackoffMs: fc.integer({ min: 1, max: 500 }),
  maxBackoffMs: fc.integer({ min: 500, max: 5_000 }),
  factor: fc.integer({ min: 1, max: 4 }),
  jitter: fc.double({ min: 0, max: 0.9, noNaN: true }),
  faults: fc.boolean(),
});

const batch = toBinary(RecordBatchSchema, create(RecordBatchSchema, { records: [{}] }));

/** All of some bytes. */
function whole(bytes: Uint8Array) {
  return {
    bytes: Buffer.from(bytes),
    start: 0,
    end: bytes.length,
    mergeable: false,
    sequence: 0,
    streamId: "",
  };
}

/** What an aftermath works with, on the timers' clock. */
function partsOf(submit: AftermathParts["submit"], answered: BatchResult[]): AftermathParts {
  return {
    clock: { nowMs: () => Date.now(), wallMs: () => Date.now() },
    limits: defaultLimits,
    held: { bytes: 0 },
    stats: new Stats(),
    tracer: new BatchTracer(undefined),
    random: () => 0,
    submit,
    answer: (job, result) => {
      answered.push(result);
      job.settle(result);
    },
    deadLetters: undefined,
    onLettersLost: () => {},
  };
}

function resultFrom(bytes: Uint8Array, counts: { in: number; out: number; failed: number }): BatchResult {
  return {
    bytes: Buffer.from(bytes),
    start: 0,
    length: bytes.length,
    recordsIn: counts.in,
    recordsOut: counts.out,
    recordsFailed: counts.failed,
    scarce: false,
    release: () => {},
  };
}

/** What a run gives whose only record fails, or comes through. */
function resultOf(failed: boolean): BatchResult {
  const bytes = toBinary(
    TransformResultSchema,
    create(
      TransformResultSchema,
      failed
        ? { fanout: [0], failures: [{ index: 0, code: "later", stage: "s1", attempts: 1 }] }
        : { batch: { records: [{}] }, fanout: [1] },
    ),
  );
  return resultFrom(bytes, { in: 1, out: failed ? 0 : 1, failed: failed ? 1 : 0 });
}

const matter: FailureMatter = {
  index: 0,
  stage: 0,
  code: "later",
  message: "",
  retry: true,
  letter: false,
  input: undefined,
};

/** Fails a record so often. @returns when it was tried again, and what it was answered with, on a clock of its own */
async function retried(
  retry: RetrySpec,
  failures: number,
  random: number,
): Promise<{ triesAtMs: number[]; failed: number; answers: number }> {
  const startMs = Date.now();
  const triesAtMs: number[] = [];
  const answered: BatchResult[] = [];
  const parts: AftermathParts = {
    ...partsOf((again) => {
      triesAtMs.push(Date.now() - startMs);
      const fails = triesAtMs.length < failures;
      if (fails) again.owner.matters?.(again, [matter]);
      again.settle(resultOf(fails));
    }, answered),
    random: () => random,
  };
  const pipeline = idlePipeline([idleStage({ retry })]);
  const job = new BatchJob({ settled: () => {} }, pipeline, whole(batch), startMs);
  Aftermath.begin(parts, job, resultOf(true), [matter]);
  await vi.runAllTimersAsync();
  return { triesAtMs, failed: answered[0]?.recordsFailed ?? -1, answers: answered.length };
}

test("a record is tried again after each wait of its policy, no earlier, no later and no more often", async () => {
  await fc.assert(
    fc.asyncProperty(
      retrySpecs,
      fc.integer({ min: 1, max: 8 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      async (retry, failures, random) => {
        const { triesAtMs, failed, answers } = await retried(retry, failures, random);
        const again = Math.min(failures, retry.attempts - 1);
        expect(triesAtMs).toHaveLength(again);
        let expectedMs = 0;
        for (let tries = 1; tries <= again; tries++) {
          // Node's timers have whole milliseconds.
          expectedMs += backoffMs(retry, tries, random);
          expect(Math.abs((triesAtMs[tries - 1] ?? 0) - expectedMs)).toBeLessThanOrEqual(tries);
        }
        expect(answers).toBe(1);
        expect(failed).toBe(failures > retry.attempts - 1 ? 1 : 0);
      },
    ),
    { numRuns: 200 },
  );
});

const patient: RetrySpec = {
  attempts: 3,
  initialBackoffMs: 60_000,
  maxBackoffMs: 60_000,
  factor: 1,
  jitter: 0,
  faults: false,
};

/** An aftermath of one record that may be tried again, and becomes a letter if it fails for good. */
function beginPatient(settings: Partial<AftermathParts> = {}, deadlineMs = Number.POSITIVE_INFINITY) {
  const submitted: BatchJob[] = [];
  const answered: BatchResult[] = [];
  const letters: DeadLetterDraft[] = [];
  const parts: AftermathParts = {
    ...partsOf((job) => submitted.push(job), answered),
    deadLetters: { write: async (drafts) => void letters.push(...drafts) },
    ...settings,
  };
  const pipeline = idlePipeline([idleStage({ retry: patient, onFailure: "dead_letter" })]);
  const outcomes: (BatchResult | LeatError)[] = [];
  const owner: BatchOwner = { settled: (_, outcome) => void outcomes.push(outcome) };
  const job = new BatchJob(owner, pipeline, whole(batch), Date.now());
  job.deadlineMs = deadlineMs;
  Aftermath.begin(parts, job, resultOf(true), [{ ...matter, letter: true }]);
  return { job, submitted, answered, letters, outcomes };
}

test("a batch that nobody waits for any more is not tried again", async () => {
  const { job, submitted, letters } = beginPatient();
  job.cancel(1);
  await vi.runAllTimersAsync();
  expect([submitted, letters]).toEqual([[], []]);
});

test("a batch that is cancelled while a try of it waits in the queue makes no letters, since its tries are not used up", async () => {
  const { job, submitted, answered, letters, outcomes } = beginPatient();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(submitted).toHaveLength(1);
  job.cancel(Date.now());
  await vi.runAllTimersAsync();
  expect(submitted[0]?.settled).toBe(true);
  expect([letters, answered]).toEqual([[], []]);
  expect(outcomes).toEqual([expect.objectContaining({ reason: "CANCELLED" })]);
});

test("a batch that is cancelled while a try of it runs makes no letters either", async () => {
  const { job, submitted, letters, outcomes } = beginPatient();
  await vi.advanceTimersByTimeAsync(60_000);
  const [again] = submitted as [BatchJob];
  again.crossing = new Crossing([again]);
  job.cancel(Date.now());
  again.settle(leatError("CANCELLED"));
  await vi.runAllTimersAsync();
  expect(letters).toEqual([]);
  expect(outcomes).toHaveLength(1);
});

test("a wait that would outlive the deadline is not begun: the caller gets what there is, and the record is kept", async () => {
  const { submitted, answered, letters } = beginPatient({}, Date.now() + 500);
  await vi.advanceTimersByTimeAsync(1);
  expect(answered[0]?.recordsFailed).toBe(1);
  expect(letters).toMatchObject([{ code: "later", attempts: 1 }]);
  await vi.runAllTimersAsync();
  expect(submitted).toEqual([]);
});

/** At which stages each try of a record fails; it comes through where that is none. */
type Fate = readonly (readonly number[])[];

const stageCount = 3;

/** A result of records that say which run they are of, and the matters of those that failed. */
function runOf(records: readonly { readonly name: string; readonly stages: readonly number[] }[]): {
  result: BatchResult;
  matters: FailureMatter[];
} {
  const fine = records.filter(({ stages }) => stages.length === 0);
  const failures = records.flatMap(({ stages }, index) =>
    stages.map((stage) => ({ index, code: "later", stage: `s${stage}`, attempts: 1 })),
  );
  const bytes = toBinary(
    TransformResultSchema,
    create(TransformResultSchema, {
      batch: { records: fine.map(({ name }) => ({ value: Buffer.from(name) })) },
      fanout: records.map(({ stages }) => (stages.length === 0 ? 1 : 0)),
      failures,
    }),
  );
  const matters = failures.map(({ index, stage }) => ({ ...matter, index, stage: Number(stage.slice(1)) }));
  const counts = { in: records.length, out: fine.length, failed: failures.length };
  return { result: resultFrom(bytes, counts), matters };
}

const fates: fc.Arbitrary<Fate[]> = fc.array(
  fc.array(fc.subarray([0, 1, 2]), { minLength: 1, maxLength: 8 }),
  { minLength: 1, maxLength: 5 },
);

/** Runs a batch whose records have these fates. @returns the records that came through, and those that failed with their tries */
async function fulfil(fates: readonly Fate[], retries: readonly RetrySpec[], runMs: number) {
  const tries = fates.map(() => 1);
  const under = new Set<number>();
  const answered: BatchResult[] = [];
  const fateOf = (index: number) => {
    const stages = fates[index]?.[(tries[index] ?? 0) - 1] ?? [];
    return { name: `${index}.${tries[index]}`, stages };
  };
  const submit = (job: BatchJob): void => {
    const { records } = fromBinary(RecordBatchSchema, job.bytes.subarray(job.start, job.end));
    const indexes = records.map(({ value }) => Number(Buffer.from(value ?? []).toString()));
    expect(indexes).toEqual([...new Set(indexes)].sort((a, b) => a - b));
    for (const index of indexes) {
      expect(under.has(index)).toBe(false);
      under.add(index);
      tries[index] = (tries[index] ?? 0) + 1;
    }
    const { result, matters } = runOf(indexes.map(fateOf));
    setTimeout(() => {
      for (const index of indexes) under.delete(index);
      job.owner.matters?.(job, matters);
      job.settle(result);
    }, runMs);
  };
  const pipeline = idlePipeline(retries.map((retry, stage) => idleStage({ name: `s${stage}`, retry })));
  const records = fates.map((_, index) => ({ value: Buffer.from(String(index)) }));
  const bytes = toBinary(RecordBatchSchema, create(RecordBatchSchema, { records }));
  const job = new BatchJob({ settled: () => {} }, pipeline, whole(bytes), Date.now());
  const first = runOf(fates.map((_, index) => fateOf(index)));
  Aftermath.begin(partsOf(submit, answered), job, first.result, first.matters);
  await vi.runAllTimersAsync();
  const [result] = answered as [BatchResult];
  const { batch: out, failures } = fromBinary(
    TransformResultSchema,
    result.bytes.subarray(result.start, result.start + result.length),
  );
  return {
    through: (out?.records ?? []).map(({ value }) => Buffer.from(value ?? []).toString()),
    failed: failures.map(({ index, stage, attempts }) => `${index}.${attempts} ${stage}`),
  };
}

test("each record is in one try at a time, is tried until no stage asks for more, and is answered with its last try", async () => {
  await fc.assert(
    fc.asyncProperty(
      fates,
      fc.array(retrySpecs, { minLength: stageCount, maxLength: stageCount }),
      fc.integer({ min: 0, max: 1_000 }),
      async (fates, retries, runMs) => {
        const through: string[] = [];
        const failed: string[] = [];
        for (const [index, fate] of fates.entries()) {
          let tries = 1;
          const stagesNow = () => fate[tries - 1] ?? [];
          while (stagesNow().some((stage) => tries < (retries[stage]?.attempts ?? 1))) tries++;
          if (stagesNow().length === 0) through.push(`${index}.${tries}`);
          failed.push(...stagesNow().map((stage) => `${index}.${tries} s${stage}`));
        }
        expect(await fulfil(fates, retries, runMs)).toEqual({ through, failed });
      },
    ),
    { numRuns: 300 },
  );
});

test("results that are held while records wait are bounded: beyond that a batch is answered at once, and its record kept", async () => {
  const one = resultOf(true).length;
  const shared = { limits: { maxHeldResultBytes: 2 * one }, held: { bytes: 0 } };
  const waiting = [beginPatient(shared), beginPatient(shared)] as const;
  const beyond = beginPatient(shared);
  await vi.advanceTimersByTimeAsync(1);
  expect(waiting.map(({ answered }) => answered.length)).toEqual([0, 0]);
  expect([beyond.answered.length, beyond.letters.length]).toEqual([1, 1]);
  expect(shared.held.bytes).toBe(2 * one);
  waiting[0].job.cancel(Date.now());
  expect(shared.held.bytes).toBe(one);
  const next = beginPatient(shared);
  await vi.advanceTimersByTimeAsync(60_000);
  expect([waiting[1].submitted.length, next.submitted.length]).toEqual([1, 1]);
  // What the tries give is held as well: there is room for one more result, and not for two.
  shared.limits.maxHeldResultBytes = 3 * one;
  for (const { submitted } of [waiting[1], next]) {
    submitted[0]?.owner.matters?.(submitted[0], [{ ...matter, letter: true }]);
    submitted[0]?.settle(resultOf(true));
  }
  await vi.advanceTimersByTimeAsync(1);
  expect([waiting[1].answered.length, next.answered.length]).toEqual([0, 1]);
  await vi.advanceTimersByTimeAsync(60_000);
  waiting[1].submitted[1]?.settle(resultOf(false));
  await vi.runAllTimersAsync();
  expect(waiting[1].answered[0]?.recordsFailed).toBe(0);
  expect(shared.held.bytes).toBe(0);
});

test.each([
  ["bytes", { maxResultBytes: 180 }],
  ["records", { maxResultRecords: 2 }],
])(
  "what a record gives at a later try fails where the result has no room for so many %s",
  async (_, bound) => {
    const retry = { ...patient, initialBackoffMs: 10 };
    const names = ["a", "b", "c"].map((name) => name.repeat(60));
    const failing = names.map((name, index) => ({ name, stages: index === 0 ? [] : [0] }));
    const first = runOf(failing);
    const stage = idleStage({ name: "s0", retry, onFailure: "dead_letter" });
    const pipeline = idlePipeline([stage], undefined, { ...defaultLimits, ...bound });
    const records = names.map((name) => ({ value: Buffer.from(name) }));
    const bytes = toBinary(RecordBatchSchema, create(RecordBatchSchema, { records }));
    const answered: BatchResult[] = [];
    const letters: DeadLetterDraft[] = [];
    const submit = (again: BatchJob): void =>
      again.settle(runOf(failing.slice(1).map(({ name }) => ({ name, stages: [] }))).result);
    const parts = {
      ...partsOf(submit, answered),
      deadLetters: { write: async (drafts: readonly DeadLetterDraft[]) => void letters.push(...drafts) },
    };
    const matters = first.matters.map((each) => ({ ...each, letter: true }));
    Aftermath.begin(
      parts,
      new BatchJob({ settled: () => {} }, pipeline, whole(bytes), 0),
      first.result,
      matters,
    );
    await vi.runAllTimersAsync();
    const [result] = answered as [BatchResult];
    const { failures, fanout } = fromBinary(
      TransformResultSchema,
      result.bytes.subarray(result.start, result.start + result.length),
    );
    expect(fanout).toEqual([1, 1, 0]);
    expect(failures).toMatchObject([
      {
        index: 2,
        stage: "s0",
        code: "output_too_large",
        attempts: 2,
        deadLetterId: expect.stringMatching(/./),
      },
    ]);
    expect(letters).toMatchObject([{ index: 2, code: "output_too_large", attempts: 2 }]);
  },
);
