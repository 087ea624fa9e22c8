import { expect, test } from "vitest";
import { idlePipeline } from "../../test/kit/jobs.ts";
import type { FailureMatter } from "../bridge/from-worker.ts";
import { BatchJob } from "../pool/batch-job.ts";
import { writeLetters } from "./dead-letters.ts";

const pipeline = idlePipeline();

/** A record with that value of one letter. */
function recordOf(value: string): Buffer {
  return Buffer.from([0x0a, 3, 0x12, 1, value.charCodeAt(0)]);
}

/** Where a record comes from. */
interface Origin {
  readonly value: string;
  readonly streamId: string;
  readonly sequence: number;
  readonly callId: string;
  readonly sender: string;
  readonly pipeline: typeof pipeline;
  readonly stage: number;
  readonly place: number;
  readonly index: number;
}

const onStream: Origin = {
  ...{ value: "a", streamId: "orders", sequence: 3, callId: "", sender: "shop" },
  ...{ pipeline, stage: 0, place: 0, index: 1 },
};
const byCall: Origin = { ...onStream, streamId: "", sequence: 0, callId: "c" };

/** The id of the letter of a record from there. */
async function idOf(origin: Origin): Promise<string> {
  const { value, index, place, stage } = origin;
  const bytes = Buffer.concat([recordOf("-"), recordOf(value), recordOf(value)]);
  const batch = { bytes, start: 0, end: bytes.length, mergeable: false };
  const job = new BatchJob({ settled: () => {} }, origin.pipeline, { ...batch, ...origin }, 0);
  const matter: FailureMatter = {
    ...{ index, stage, code: "refused", message: "no", retry: false, letter: true },
    input: undefined,
  };
  const sink = { write: async () => {} };
  const [id = ""] = await writeLetters(sink, job, [{ index, place, matter, attempts: 1 }], 0);
  return id;
}

test.each([
  ["a stream that has a name", onStream],
  ["a call that has an id", byCall],
])("a record that comes again on %s has the same letter, and any other has its own", async (_, origin) => {
  const id = await idOf(origin);
  expect(await idOf({ ...origin })).toBe(id);
  const others: Origin[] = [
    { ...origin, value: "b" },
    { ...origin, sender: "bank" },
    { ...origin, pipeline: idlePipeline() },
    { ...origin, sequence: 4 },
    { ...origin, index: 2 },
    { ...origin, stage: 1 },
    { ...origin, place: 1 },
    { ...origin, streamId: "or", callId: "ders" },
  ];
  const ids = await Promise.all(others.map(idOf));
  expect(new Set([id, ...ids]).size).toBe(others.length + 1);
});

test("a record of which nothing says that it came before has a letter of its own each time", async () => {
  const origin = { ...onStream, streamId: "", sequence: 0 };
  expect(await idOf(origin)).not.toBe(await idOf(origin));
});
