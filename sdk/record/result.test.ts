import type { MessageInitShape } from "@bufbuild/protobuf";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { TransformResultSchema } from "@leat/proto";
import { describe, expect, test } from "vitest";
import { LeatCallError } from "../errors.ts";
import { codecMapper, json, rawMapper } from "./codec.ts";
import { BatchResult } from "./result.ts";

const mapper = codecMapper(json<number>());
const value = (text: string): Uint8Array => new TextEncoder().encode(text);

function result(inputs: number[], init: MessageInitShape<typeof TransformResultSchema>) {
  const bytes = toBinary(TransformResultSchema, create(TransformResultSchema, init));
  return new BatchResult(1, inputs, inputs.length, { t: "result", bytes }, mapper);
}

describe("a batch result", () => {
  test("accounts for every input: mapped, split, dropped, failed, and failed in part", () => {
    const records = ["1", "2", "2", "5"].map((text) => ({ value: value(text) }));
    const failures = [
      {
        index: 3,
        code: "bad",
        message: "no good",
        stage: "s",
        attempts: 2,
        retryable: true,
        deadLetterId: "d",
      },
      { index: 4, code: "half" },
    ];
    const {
      outcomes,
      outputs,
      failures: seen,
    } = result([1, 2, 3, 4, 5], {
      batch: { records },
      fanout: [1, 2, 0, 0, 1],
      failures,
    });
    expect(outcomes.map(({ status }) => status)).toEqual(["ok", "ok", "dropped", "failed", "failed"]);
    expect(outcomes[1]).toMatchObject({ outputs: [2, 2] });
    expect(outcomes[3]).toEqual({ status: "failed", failure: failures[0], outputs: [] });
    expect(outcomes[4]).toMatchObject({ failure: { code: "half" }, outputs: [5] });
    expect(outputs).toEqual([1, 2, 2, 5]);
    expect(seen.map(({ index }) => index)).toEqual([3, 4]);
  });

  test("takes an absent fanout as one output each", () => {
    const { outcomes, fanout } = result([1, 2], {
      batch: { records: [{ value: value("1") }, { value: value("2") }] },
    });
    expect(fanout).toBeUndefined();
    expect(outcomes).toMatchObject([{ outputs: [1] }, { outputs: [2] }]);
  });

  test("fails the record whose output the codec cannot decode, and no other", () => {
    const records = [{ value: value("1") }, { value: value("{") }, { value: value("3") }];
    const { outcomes, outputs, failures, records: raw } = result([1, 2, 3], { batch: { records } });
    expect(outcomes.map(({ status }) => status)).toEqual(["ok", "failed", "ok"]);
    expect(failures).toMatchObject([{ index: 1, code: "decode_failed", cause: expect.any(SyntaxError) }]);
    expect(outputs).toEqual([1, 3]);
    expect(raw[1]?.value).toEqual(value("{"));
  });

  test("gives records and the generated message without any codec", () => {
    const records = [{ key: value("k"), headers: [{ key: "h", value: value("v") }], timestampMs: 9n }];
    const all = result([1], { batch: { records } });
    expect(all.records).toEqual([
      { key: value("k"), value: undefined, headers: records[0]?.headers, timestampMs: 9 },
    ]);
    expect(all.message().batch?.records[0]?.timestampMs).toBe(9n);
  });

  test("decodes nothing before it is asked: malformed bytes only throw then", () => {
    const malformed = new BatchResult(1, [1], 1, { t: "result", bytes: Uint8Array.of(0xff) }, rawMapper);
    expect(malformed.bytes).toHaveLength(1);
    expect(() => malformed.outcomes).toThrow(LeatCallError);
  });

  test.each([
    ["too few inputs", { fanout: [0] }],
    ["more outputs than records", { fanout: [1, 1] }],
    ["fewer records than inputs", {}],
  ])("refuses a result that does not add up: %s", (_, init) => {
    expect(() => result([1, 2], init).outputs).toThrow("malformed result");
  });
});

test("a batch that failed as a whole throws from its outputs, and fails all of its inputs", () => {
  const error = new LeatCallError("the queue is full", {
    code: Code.ResourceExhausted,
    reason: "QUEUE_FULL",
    retryAfterMs: 5,
  });
  const failed = new BatchResult(4, [1, 2], 2, { t: "error", error }, mapper);
  expect(failed.error).toBe(error);
  expect(() => failed.outputs).toThrow(error);
  expect(() => failed.records).toThrow(error);
  expect(() => failed.message()).toThrow(error);
  expect(failed.outcomes).toHaveLength(2);
  expect(failed.failures[1]).toMatchObject({ index: 1, code: "queue_full", retryable: true, cause: error });
});
