import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { RecordBatchSchema, TransformResultSchema } from "@leat/proto";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { batch, beginPatient, matter, partsOf, resultOf, runOf, whole } from "../../test/kit/aftermaths.ts";
import { idlePipeline, idleStage } from "../../test/kit/jobs.ts";
import type { RetrySpec } from "../bridge/pipeline-spec.ts";
import { leatError } from "../errors.ts";
import { BatchJob, type BatchResult } from "../pool/batch-job.ts";
import { Crossing } from "../pool/crossing.ts";
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

test("a batch whose records wait to be tried again keeps nobody waiting, and each of its tries does", async () => {
  const { job, submitted } = beginPatient();
  const { backlog } = job.pipeline;
  // Nothing has been answered for so long that every batch ahead counts as a second.
  const ahead = (): number => backlog.expectedMs(Date.now() + 1_000) / 1_000;
  backlog.expectedMs(Date.now());
  expect(ahead()).toBe(0);
  await vi.advanceTimersByTimeAsync(60_000);
  backlog.expectedMs(Date.now());
  expect(ahead()).toBe(1);
  submitted[0]?.settle(resultOf(false));
  expect(backlog.expectedMs(Date.now() + 2_000)).toBe(0);
  await vi.runAllTimersAsync();
  expect(job.settled).toBe(true);
  expect(backlog.expectedMs(Date.now() + 60_000)).toBe(0);
});
