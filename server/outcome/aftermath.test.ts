import { create, toBinary } from "@bufbuild/protobuf";
import { RecordBatchSchema, TransformResultSchema } from "@leat/proto";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { idlePipeline, idleStage } from "../../test/kit/jobs.ts";
import type { FailureMatter } from "../bridge/from-worker.ts";
import type { RetrySpec } from "../bridge/pipeline-spec.ts";
import { BatchJob, type BatchResult } from "../pool/batch-job.ts";
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
  return {
    bytes: Buffer.from(bytes),
    start: 0,
    length: bytes.length,
    recordsIn: 1,
    recordsOut: failed ? 0 : 1,
    recordsFailed: failed ? 1 : 0,
    scarce: false,
    release: () => {},
  };
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
    clock: { nowMs: () => Date.now(), wallMs: () => Date.now() },
    stats: new Stats(),
    tracer: new BatchTracer(undefined),
    random: () => random,
    submit: (again) => {
      triesAtMs.push(Date.now() - startMs);
      const fails = triesAtMs.length < failures;
      if (fails) again.owner.matters?.(again, [matter]);
      again.settle(resultOf(fails));
    },
    answer: (job, result) => {
      answered.push(result);
      job.settle(result);
    },
    deadLetters: undefined,
    onLettersLost: () => {},
  };
  const whole = {
    bytes: Buffer.from(batch),
    start: 0,
    end: batch.length,
    mergeable: false,
    sequence: 0,
    streamId: "",
  };
  const job = new BatchJob({ settled: () => {} }, idlePipeline([idleStage({ retry })]), whole, startMs);
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
  const submit = vi.fn();
  const retry = {
    attempts: 3,
    initialBackoffMs: 100,
    maxBackoffMs: 100,
    factor: 1,
    jitter: 0,
    faults: false,
  };
  const parts = {
    clock: { nowMs: () => Date.now(), wallMs: () => Date.now() },
    stats: new Stats(),
    tracer: new BatchTracer(undefined),
    random: () => 0,
    submit,
    answer: () => {},
    deadLetters: undefined,
    onLettersLost: () => {},
  };
  const whole = {
    bytes: Buffer.from(batch),
    start: 0,
    end: batch.length,
    mergeable: false,
    sequence: 0,
    streamId: "",
  };
  const job = new BatchJob({ settled: () => {} }, idlePipeline([idleStage({ retry })]), whole, 0);
  Aftermath.begin(parts, job, resultOf(true), [matter]);
  job.cancel(1);
  await vi.runAllTimersAsync();
  expect(submit).not.toHaveBeenCalled();
});
