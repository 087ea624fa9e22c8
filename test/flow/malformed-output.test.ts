import type { MessageInitShape } from "@bufbuild/protobuf";
import { create, toBinary } from "@bufbuild/protobuf";
import { type RecordFailureSchema, TransformResultSchema } from "@leat/proto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { markedNaming } from "../kit/modules.ts";
import { batchOf, pipelineTarget, request, shapeOf, valuesOf } from "../kit/records.ts";
import { startTestServer, type TestServer } from "../kit/test-server.ts";

let kit: TestServer;

const limits = { maxResultRecords: 50, maxResultBytes: 64 * 1024, maxFailureTextBytes: 100 };

beforeAll(async () => {
  kit = await startTestServer({
    limits,
    modules: { marked: "marked", program: "program", silent: await markedNaming("silent") },
    pipelines: { after: ["marked", "program"] },
  });
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

type Failure = MessageInitShape<typeof RecordFailureSchema>;

/** An encoded result. */
function encoded(records: number, fanout: number[], failures: Failure[] = []): Buffer {
  const batch = batchOf(...new Array<string>(records).fill("v"));
  return Buffer.from(
    toBinary(TransformResultSchema, create(TransformResultSchema, { batch, fanout, failures })),
  );
}

function field(number: number, wireType: number, ...content: number[]): Buffer {
  return Buffer.from([(number << 3) | wireType, ...content]);
}

/** Results of one record that are none, each with a part of what is said about it. */
const malformed: readonly (readonly [name: string, result: Buffer, problem: RegExp])[] = [
  ["bytes that are no message", Buffer.from([0xff, 0xff, 0xff]), /./],
  ["a tag and nothing more", Buffer.from([0x0a]), /truncated/],
  ["a batch that is longer than the result", Buffer.from([0x0a, 0x7f, 0x00]), /length/],
  ["a record that is longer than the batch", Buffer.from([0x0a, 0x02, 0x0a, 0x7f]), /length/],
  ["a field that is longer than its record", Buffer.from([0x0a, 0x04, 0x0a, 0x02, 0x12, 0x05]), /./],
  ["a group", Buffer.from([0x0b, 0x0c]), /./],
  ["an unknown field", Buffer.concat([encoded(1, []), field(9, 0, 1)]), /unknown field 9/],
  ["two batches", Buffer.concat([encoded(1, []), encoded(1, [])]), /more than one batch/],
  ["no output and no fanout", encoded(0, []), /0 outputs for 1 inputs/],
  ["two outputs and no fanout", encoded(2, []), /2 outputs for 1 inputs/],
  ["a fanout for more inputs than there are", encoded(2, [1, 1]), /fanout of more/],
  ["a fanout that adds up to less", encoded(2, [1]), /adds up to 1/],
  ["a fanout that adds up to more", encoded(1, [2]), /adds up to 2/],
  ["a fanout of 2^32-1", encoded(1, [0xffff_ffff]), /adds up to 4294967295/],
  ["a fanout that ends within a number", Buffer.concat([encoded(1, []), field(2, 2, 1, 0x80)]), /./],
  [
    "a failure of an input that is not there",
    encoded(0, [0], [{ index: 1, code: "bad" }]),
    /failure of input 1/,
  ],
  ["two failures of one input", encoded(0, [0], [{ code: "bad" }, { code: "bad" }]), /more failures/],
  ["a failure of an input that has outputs", encoded(1, [1], [{ code: "bad" }]), /failed and has outputs/],
  ["a failure and no fanout", encoded(1, [], [{ code: "bad" }]), /without a fanout/],
  ["a failure without a code", encoded(0, [0], [{ code: "" }]), /./],
  ["a failure code in capitals", encoded(0, [0], [{ code: "BAD" }]), /code/],
  ["a failure code with a line end", encoded(0, [0], [{ code: "bad\n" }]), /code/],
  ["a failure code of 65 letters", encoded(0, [0], [{ code: "a".repeat(65) }]), /code/],
  [
    "a failure message that is no UTF-8",
    Buffer.concat([encoded(0, [0]), field(3, 2, 7, 0x12, 1, 0x61, 0x1a, 2, 0xc3, 0x28)]),
    /UTF-8/,
  ],
  [
    "a record with a header key that is no UTF-8",
    Buffer.from([0x0a, 0x07, 0x0a, 0x05, 0x1a, 0x03, 0x0a, 0x01, 0xff]),
    /UTF-8/,
  ],
  ["a record whose value is a number", Buffer.from([0x0a, 0x04, 0x0a, 0x02, 0x10, 0x01]), /field 2/],
];

/** As `malformed`, without what a lone input may well be given: a failure without a code gets one. */
const cases = malformed.filter(([name]) => name !== "a failure without a code");

describe("a malformed result is the fault of the module, of the record that it was made for, and of no other", () => {
  test.each(cases)("%s", async (_, result, problem) => {
    for (const module of ["marked", "silent"]) {
      const poison = Buffer.concat([Buffer.from("="), result]);
      const answer = await kit.raw.transform(request(module, "a", "b", poison, "c", "d"));
      expect(shapeOf(answer, 5)).toEqual({
        values: ["a", "b", "c", "d"],
        fanout: [1, 1, 0, 1, 1],
        failures: [`2 malformed_output@${module}`],
      });
      const alone = await kit.raw.transform(request(module, poison));
      expect(shapeOf(alone, 1)).toEqual({
        values: [],
        fanout: [0],
        failures: [`0 malformed_output@${module}`],
      });
      expect(alone.failures[0]?.message).toMatch(problem);
    }
  });

  test("and the next stage gets only what was well", async () => {
    const poison = Buffer.concat([Buffer.from("="), field(9, 0, 1)]);
    const answer = await kit.raw.transform(request("after", "2ab", poison, "x"));
    expect(shapeOf(answer, 3)).toEqual({
      values: ["ab", "b"],
      fanout: [2, 0, 0],
      failures: ["1 malformed_output@s1", "2 refused@s2"],
    });
  });
});

/** `@` and the i64 to return. */
function pointer(offset: number, length: number): Buffer {
  const value = Buffer.alloc(9);
  value.write("@");
  value.writeUInt32LE(length >>> 0, 1);
  value.writeUInt32LE(offset >>> 0, 5);
  return value;
}

describe("a pointer out of the module's memory is a malformed result", () => {
  const memoryBytes = 128 * 65_536;
  test.each([
    ["one byte beyond", memoryBytes - 9, 10],
    ["wholly beyond", memoryBytes + 1, 1],
    ["the end of 32 bits", 0xffff_ffff, 0xffff_ffff],
    ["a length of 2^31", 0, 0x8000_0000],
    ["an offset below zero", -1, 1],
  ])("%s", async (_, offset, length) => {
    const answer = await kit.raw.transform(request("marked", "a", pointer(offset, length), "b"));
    expect(shapeOf(answer, 3)).toEqual({
      values: ["a", "b"],
      fanout: [1, 0, 1],
      failures: ["1 malformed_output@marked"],
    });
    expect(answer.failures[0]?.message).toContain(`${length >>> 0} bytes at ${offset >>> 0}`);
    expect(answer.failures[0]?.message).toContain(String(memoryBytes));
  });

  test("but an empty result right at its end is no worse than any empty one", async () => {
    const answer = await kit.raw.transform(request("marked", pointer(memoryBytes, 0)));
    expect(answer.failures[0]?.message).toContain("0 outputs for 1 inputs");
  });
});

describe("a result over a limit", () => {
  test("of bytes fails the records for which there was no room, and names the limit", async () => {
    const big = `m${"v".repeat(20_000)}`;
    const answer = await kit.raw.transform(request("program", big, big, big, big, "ma"));
    expect(answer.failures.map(({ index, code }) => `${index} ${code}`)).toEqual(["3 output_too_large"]);
    expect(answer.failures[0]?.message).toContain(`maxResultBytes is ${limits.maxResultBytes}`);
    expect(valuesOf(answer)).toEqual([big.slice(1), big.slice(1), big.slice(1), "a"]);
  });

  test("of records does so, too", async () => {
    const answer = await kit.raw.transform(request("program", ...new Array(7).fill("9")));
    expect(answer.failures.map(({ index, code }) => `${index} ${code}`)).toEqual([
      "5 output_too_large",
      "6 output_too_large",
    ]);
    expect(answer.failures[0]?.message).toContain(`maxResultRecords is ${limits.maxResultRecords}`);
    expect(answer.batch?.records).toHaveLength(45);
  });

  test("of failure text cuts the text and keeps it UTF-8", async () => {
    const message = `${"x".repeat(99)}é`;
    const result = encoded(0, [0], [{ code: "bad", message }]);
    const answer = await kit.raw.transform(request("marked", Buffer.concat([Buffer.from("="), result])));
    expect(answer.failures[0]?.code).toBe("bad");
    expect(answer.failures[0]?.message.startsWith("x".repeat(99))).toBe(true);
    expect(Buffer.byteLength(answer.failures[0]?.message ?? "")).toBeLessThanOrEqual(102);
  });
});

test("what a guest says about stage, attempts and dead letter is not believed", async () => {
  const result = encoded(
    0,
    [0],
    [{ code: "bad", stage: "other", attempts: 9, deadLetterId: "x", retryable: true }],
  );
  const answer = await kit.raw.transform({
    target: pipelineTarget("marked"),
    batch: batchOf(Buffer.concat([Buffer.from("="), result])),
  });
  expect(answer.failures[0]).toMatchObject({
    code: "bad",
    stage: "marked",
    attempts: 1,
    deadLetterId: "",
    retryable: true,
  });
});
