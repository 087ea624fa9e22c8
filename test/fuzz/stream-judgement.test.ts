import { create } from "@bufbuild/protobuf";
import {
  StreamTransformRequestSchema,
  type StreamTransformResponse,
  StreamTransformResponseSchema,
} from "@leat/proto";
import { expect, test } from "vitest";
import { encode, type StreamEnd } from "../kit/raw-client.ts";
import { batchOf, numbered } from "../kit/records.ts";
import { judgeStream, type Plan } from "./stream-judgement.ts";

type Response = StreamTransformResponse["message"];

const ok: StreamEnd = { t: "ok" };
const opened: Response = create(StreamTransformResponseSchema, {
  message: { case: "opened", value: {} },
}).message;
const plan: Plan = {
  opened: true,
  unordered: false,
  firstSequence: 5,
  batches: [batchOf("a"), batchOf("b")],
  ending: { t: "half-close" },
};

function answer(sequence: number, ...values: string[]): Response {
  const value = {
    sequence: BigInt(sequence),
    outcome: { case: "result" as const, value: { batch: batchOf(...values) } },
  };
  return create(StreamTransformResponseSchema, { message: { case: "result", value } }).message;
}

function refusal(sequence: number, reason: string, code = 3): Response {
  const value = { sequence: BigInt(sequence), outcome: { case: "error" as const, value: { reason, code } } };
  return create(StreamTransformResponseSchema, { message: { case: "result", value } }).message;
}

function broken(
  request: Parameters<typeof encode<typeof StreamTransformRequestSchema>>[1],
  ...tail: number[]
): Plan {
  const bytes = Buffer.concat([encode(StreamTransformRequestSchema, request), Uint8Array.from(tail)]);
  return { ...plan, ending: { t: "broken", bytes } };
}

const both = [opened, answer(5, "a"), answer(6, "b")];

test("each batch answered with what it must give is right, in order or where none was asked for", () => {
  expect(judgeStream(plan, both, ok)).toBe("ended well");
  expect(judgeStream({ ...plan, unordered: true }, [opened, answer(6, "b"), answer(5, "a")], ok)).toBe(
    "ended well",
  );
  expect(judgeStream({ ...plan, ending: { t: "cancel" } }, [opened, answer(5, "a")], undefined)).toBe(
    "cancelled",
  );
});

test.each<[string, Partial<Plan>, Response[], RegExp]>([
  [
    "all numbers are shifted",
    {},
    [opened, answer(6, "a"), answer(7, "b")],
    /batch 6 was answered, and 5 was due/,
  ],
  [
    "numbers are shifted without order",
    { unordered: true },
    [opened, answer(6, "a"), answer(7, "b")],
    /other records/,
  ],
  [
    "contents are swapped without order",
    { unordered: true },
    [opened, answer(5, "b"), answer(6, "a")],
    /other records/,
  ],
  ["one is answered twice", { unordered: true }, [opened, answer(5, "a"), answer(5, "a")], /answered twice/],
  ["one is missing", {}, [opened, answer(5, "a")], /2 batches got 1 answers/],
  ["one was never sent", {}, [...both, answer(7, "c")], /2 batches got 3 answers/],
  ["one failed", {}, [opened, answer(5, "a"), refusal(6, "BATCH_MALFORMED")], /batch 6 failed/],
])("wrong: %s", (_, change, responses, problem) => {
  expect(() => judgeStream({ ...plan, ...change }, responses, ok)).toThrow(problem);
});

test("answers before a cancel are held to the same", () => {
  const cancelled: Plan = { ...plan, ending: { t: "cancel" } };
  expect(() => judgeStream(cancelled, [opened, answer(5, "b")], undefined)).toThrow("other records");
});

test("a message that was broken and still is the next batch has that batch's result or refusal", () => {
  const whole = broken(numbered(7, "c"));
  expect(judgeStream(whole, [...both, answer(7, "c")], ok)).toBe("broken message, ended well");
  expect(judgeStream(whole, [...both, refusal(7, "BATCH_MALFORMED")], ok)).toBe("broken message, ended well");
  expect(() => judgeStream(whole, [...both, answer(7, "d")], ok)).toThrow("other records");
  expect(() => judgeStream(whole, [...both, refusal(7, "INTERNAL", 13)], ok)).toThrow("INTERNAL");
  expect(() => judgeStream(whole, both, ok)).toThrow("3 batches got 2 answers");
});

test.each<[string, Plan, RegExp]>([
  ["another number", broken(numbered(8, "c")), /batch 8 had success, and 7 was due/],
  ["no message inside", broken({ message: { case: undefined } }), /an empty message in place of a batch/],
  ["an end in the middle of a field", broken(numbered(7, "c"), 0x12), /what is no message had success/],
])("a broken message with %s must not end well", (_, wrong, problem) => {
  expect(() => judgeStream(wrong, [...both, answer(7, "c")], ok)).toThrow(problem);
});

test("batches before a broken message are answered right", () => {
  const answers = [opened, answer(5, "a"), answer(6, "a"), answer(7, "c")];
  expect(() => judgeStream(broken(numbered(7, "c")), answers, ok)).toThrow("other records");
});
