import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { RecordBatchSchema, TransformResultSchema } from "@leat/proto";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { beginPatient, matter, partsOf, patient, resultOf, runOf, whole } from "../../test/kit/aftermaths.ts";
import { idlePipeline, idleStage } from "../../test/kit/jobs.ts";
import { defaultLimits } from "../limits.ts";
import { BatchJob, type BatchResult } from "../pool/batch-job.ts";
import type { DeadLetterDraft } from "../store/dead-letter-store.ts";
import { Aftermath } from "./aftermath.ts";

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
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
