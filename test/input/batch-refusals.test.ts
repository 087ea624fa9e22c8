import { create, toBinary } from "@bufbuild/protobuf";
import { RecordBatchSchema, StreamTransformRequestSchema, TransformRequestSchema } from "@leat/sdk";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { failureOf } from "../kit/call-error.ts";
import { encode } from "../kit/raw-client.ts";
import { batchOf, numbered, open, pipelineTarget, request, valuesOf } from "../kit/records.ts";
import { startTestServer, type TestServer } from "../kit/test-server.ts";

let kit: TestServer;

const limits = { maxBatchBytes: 10_000, maxBatchRecords: 100 };

beforeAll(async () => {
  kit = await startTestServer({ limits, modules: { program: "program" } });
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

const target = encode(TransformRequestSchema, { target: pipelineTarget("program") });

/** A request with this as its batch. */
function withBatch(batch: Uint8Array): Buffer {
  const head = Buffer.from([0x12, (batch.length & 0x7f) | 0x80, batch.length >> 7]);
  return Buffer.concat([target, head, batch]);
}

/** A stream batch with this as its batch. */
function streamBatch(sequence: number, batch: Uint8Array): Buffer {
  const inner = Buffer.concat([
    Buffer.from([0x08, sequence, 0x1a, (batch.length & 0x7f) | 0x80, batch.length >> 7]),
    batch,
  ]);
  return Buffer.concat([Buffer.from([0x12, (inner.length & 0x7f) | 0x80, inner.length >> 7]), inner]);
}

function bytes(...numbers: number[]): Buffer {
  return Buffer.from(numbers);
}

/** Batches that are none. */
const malformed: [string, Buffer][] = [
  ["a lone tag", bytes(0x0a)],
  ["a length beyond the end", bytes(0x0a, 0x05, 0x12, 0x01)],
  ["a length of 5 GB", bytes(0x0a, 0xff, 0xff, 0xff, 0xff, 0x7f)],
  ["a length without an end", bytes(0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)],
  ["something between the records", bytes(0x12, 0x00)],
  ["an unknown field between the records", bytes(0x0a, 0x00, 0x78, 0x01)],
  ["a group", bytes(0x0b, 0x0c)],
  ["a field number 0 in a record", bytes(0x0a, 0x02, 0x02, 0x00)],
  ["a value that is a number", bytes(0x0a, 0x02, 0x10, 0x01)],
  ["a value that leaves its record", bytes(0x0a, 0x02, 0x12, 0x05, 0x61, 0x61, 0x61, 0x61, 0x61)],
  ["a timestamp that is text", bytes(0x0a, 0x03, 0x22, 0x01, 0x61)],
  ["a timestamp of eleven bytes", bytes(0x0a, 0x0c, 0x20, ...new Array<number>(10).fill(0x80), 0x01)],
  ["a header that leaves its record", bytes(0x0a, 0x03, 0x1a, 0x05, 0x0a)],
  ["a header key that leaves its header", bytes(0x0a, 0x05, 0x1a, 0x02, 0x0a, 0x02, 0x61)],
  ["a header key that is no UTF-8", bytes(0x0a, 0x06, 0x1a, 0x04, 0x0a, 0x02, 0xc3, 0x28)],
  ["a header key with a surrogate", bytes(0x0a, 0x07, 0x1a, 0x05, 0x0a, 0x03, 0xed, 0xa0, 0x80)],
  ["a header key in an overlong form", bytes(0x0a, 0x06, 0x1a, 0x04, 0x0a, 0x02, 0xc0, 0xaf)],
  ["a header key beyond U+10FFFF", bytes(0x0a, 0x08, 0x1a, 0x06, 0x0a, 0x04, 0xf4, 0x90, 0x80, 0x80)],
  ["a header value that is a number", bytes(0x0a, 0x04, 0x1a, 0x02, 0x10, 0x01)],
];

describe("a malformed batch", () => {
  test.each(malformed)(
    "with %s is refused in a call, and in band in a stream that goes on",
    async (_, batch) => {
      const failure = await failureOf(kit.raw.transformBytes(withBatch(batch)));
      expect(failure).toMatchObject({
        status: "INVALID_ARGUMENT",
        reason: "BATCH_MALFORMED",
        domain: "leat",
      });
      expect(failure.metadata["problem"]).not.toBe("");

      const stream = kit.raw.stream();
      stream.write(open("program"));
      stream.writeBytes(streamBatch(1, Buffer.concat([encode(RecordBatchSchema, batchOf("ma")), batch])));
      stream.write(numbered(2, "mb"));
      stream.halfClose();
      const [, first, second] = await stream.rest();
      expect(first).toMatchObject({
        case: "result",
        value: { sequence: 1n, outcome: { case: "error", value: { code: 3, reason: "BATCH_MALFORMED" } } },
      });
      if (second?.case !== "result" || second.value.outcome.case !== "result")
        throw new Error("no second result");
      expect(valuesOf(second.value.outcome.value)).toEqual(["b"]);
      expect(await stream.ended).toEqual({ t: "ok" });
    },
  );
});

describe("a batch over a limit", () => {
  const tooLarge = batchOf("v".repeat(10_000));
  const tooMany = batchOf(...new Array<string>(101).fill("m"));

  test("is refused in a call with the limit, its value and what was measured", async () => {
    expect(
      await failureOf(kit.raw.transform({ target: pipelineTarget("program"), batch: tooLarge })),
    ).toMatchObject({
      status: "INVALID_ARGUMENT",
      reason: "BATCH_TOO_LARGE",
      metadata: {
        limit: "maxBatchBytes",
        value: "10000",
        measured: String(toBinary(RecordBatchSchema, tooLarge).length),
      },
    });
    expect(
      await failureOf(kit.raw.transform({ target: pipelineTarget("program"), batch: tooMany })),
    ).toMatchObject({
      status: "INVALID_ARGUMENT",
      reason: "BATCH_TOO_MANY_RECORDS",
      metadata: { limit: "maxBatchRecords", value: "100", measured: "101" },
    });
  });

  test("that is exactly at the limit passes", async () => {
    const exact = batchOf(...new Array<string>(100).fill("m"));
    expect(
      (await kit.raw.transform({ target: pipelineTarget("program"), batch: exact })).batch?.records,
    ).toHaveLength(100);
    const filler = "v".repeat(10_000 - 6);
    const full = create(RecordBatchSchema, { records: [{ value: Buffer.from(filler) }] });
    expect(toBinary(RecordBatchSchema, full)).toHaveLength(10_000);
    expect(valuesOf(await kit.raw.transform({ target: pipelineTarget("program"), batch: full }))).toEqual([
      filler.slice(1),
    ]);
  });

  test("of bytes ends a stream; what was answered before stays answered", async () => {
    const stream = kit.raw.stream();
    stream.write(open("program"));
    stream.write(numbered(1, "ma"));
    expect((await stream.next())?.case).toBe("opened");
    expect((await stream.next())?.case).toBe("result");
    stream.write({ message: { case: "batch", value: { sequence: 2n, batch: tooLarge } } });
    expect(await stream.next()).toBeUndefined();
    expect(await stream.ended).toMatchObject({
      t: "failed",
      failure: {
        status: "INVALID_ARGUMENT",
        reason: "BATCH_TOO_LARGE",
        metadata: { limit: "maxBatchBytes" },
      },
    });
  });

  test("of records is answered in band", async () => {
    const stream = kit.raw.stream();
    stream.write(open("program"));
    stream.write({ message: { case: "batch", value: { sequence: 1n, batch: tooMany } } });
    stream.write(numbered(2, "mb"));
    stream.halfClose();
    const [, first, second] = await stream.rest();
    expect(first).toMatchObject({
      case: "result",
      value: { outcome: { case: "error", value: { code: 3, reason: "BATCH_TOO_MANY_RECORDS" } } },
    });
    expect(
      first?.case === "result" && first.value.outcome.case === "error" && first.value.outcome.value.message,
    ).toMatch(/101.*maxBatchRecords is 100/);
    expect(second).toMatchObject({ case: "result", value: { outcome: { case: "result" } } });
  });
});

describe("a call", () => {
  test.each([
    ["without a target", encode(TransformRequestSchema, { batch: batchOf("m") })],
    ["with an empty target", encode(TransformRequestSchema, { target: {}, batch: batchOf("m") })],
  ])("%s is refused with the field", async (_, sent) => {
    expect(await failureOf(kit.raw.transformBytes(sent))).toMatchObject({
      status: "INVALID_ARGUMENT",
      reason: "REQUEST_INVALID",
      metadata: { field: "target" },
      fields: ["target"],
    });
  });

  test("to an unknown pipeline is NOT_FOUND and names it", async () => {
    expect(await failureOf(kit.raw.transform(request("no-such-pipeline", "m")))).toMatchObject({
      status: "NOT_FOUND",
      reason: "PIPELINE_NOT_FOUND",
      metadata: { pipeline: "no-such-pipeline" },
    });
  });

  test.each([
    ["bytes that are no message", bytes(0xff, 0xff)],
    ["a target that is cut short", bytes(0x0a, 0x05, 0x0a)],
    ["two batches", Buffer.concat([target, bytes(0x12, 0x00, 0x12, 0x00)])],
  ])("with %s is REQUEST_MALFORMED", async (_, sent) => {
    expect(await failureOf(kit.raw.transformBytes(sent))).toMatchObject({
      status: "INVALID_ARGUMENT",
      reason: "REQUEST_MALFORMED",
    });
  });
});

describe("a breach of the stream's protocol ends it with INVALID_ARGUMENT and its own reason", () => {
  const breaches: [string, Buffer[], Record<string, unknown>][] = [
    [
      "a batch before open",
      [encode(StreamTransformRequestSchema, numbered(1, "m"))],
      { reason: "STREAM_NOT_OPENED" },
    ],
    ["an empty message first", [Buffer.alloc(0)], { reason: "STREAM_NOT_OPENED" }],
    [
      "open twice",
      [
        encode(StreamTransformRequestSchema, open("program")),
        encode(StreamTransformRequestSchema, open("program")),
      ],
      { reason: "STREAM_OPENED_TWICE" },
    ],
    [
      "an empty message later",
      [encode(StreamTransformRequestSchema, open("program")), Buffer.alloc(0)],
      { reason: "REQUEST_MALFORMED" },
    ],
    [
      "a number that was skipped",
      [
        encode(StreamTransformRequestSchema, open("program")),
        encode(StreamTransformRequestSchema, numbered(2, "m")),
      ],
      { reason: "STREAM_OUT_OF_SEQUENCE", metadata: { expected: "1", received: "2" } },
    ],
    [
      "a number that was used",
      [
        encode(StreamTransformRequestSchema, open("program")),
        encode(StreamTransformRequestSchema, numbered(1, "m")),
        encode(StreamTransformRequestSchema, numbered(1, "m")),
      ],
      { reason: "STREAM_OUT_OF_SEQUENCE", metadata: { expected: "2", received: "1" } },
    ],
    [
      "no number",
      [
        encode(StreamTransformRequestSchema, open("program")),
        encode(StreamTransformRequestSchema, numbered(0, "m")),
      ],
      { reason: "STREAM_OUT_OF_SEQUENCE", metadata: { expected: "1", received: "0" } },
    ],
    [
      "a number that starts over in a resumed stream",
      [
        encode(StreamTransformRequestSchema, open("program", { afterSequence: 41n })),
        encode(StreamTransformRequestSchema, numbered(1, "m")),
      ],
      { reason: "STREAM_OUT_OF_SEQUENCE", metadata: { expected: "42", received: "1" } },
    ],
    [
      "a number over 2^53",
      [
        encode(StreamTransformRequestSchema, open("program")),
        bytes(0x12, 0x0b, 0x08, ...new Array<number>(9).fill(0xff), 0x01),
      ],
      { reason: "REQUEST_MALFORMED" },
    ],
    ["bytes that are no message", [bytes(0x12, 0x7f)], { reason: "REQUEST_MALFORMED" }],
    [
      "open and a batch in one message",
      [Buffer.concat([encode(StreamTransformRequestSchema, open("program")), bytes(0x12, 0x00)])],
      { reason: "REQUEST_MALFORMED" },
    ],
    [
      "a stream name of more than 128 bytes",
      [encode(StreamTransformRequestSchema, open("program", { streamId: "é".repeat(65) }))],
      { reason: "REQUEST_INVALID", metadata: { field: "open.stream_id" } },
    ],
    [
      "a resumption beyond all numbers",
      [encode(StreamTransformRequestSchema, open("program", { afterSequence: 2n ** 64n - 1n }))],
      { reason: "REQUEST_INVALID", metadata: { field: "open.after_sequence" } },
    ],
    [
      "no target",
      [encode(StreamTransformRequestSchema, { message: { case: "open", value: {} } })],
      { reason: "REQUEST_INVALID", metadata: { field: "target" } },
    ],
  ];

  test.each(breaches)("%s", async (_, messages, failure) => {
    const stream = kit.raw.stream();
    for (const message of messages) stream.writeBytes(message);
    await stream.rest();
    const { metadata, ...rest } = failure;
    expect(await stream.ended).toMatchObject({
      t: "failed",
      failure: {
        status: "INVALID_ARGUMENT",
        domain: "leat",
        ...rest,
        ...(metadata === undefined ? {} : { metadata: expect.objectContaining(metadata) }),
      },
    });
    await kit.idle();
  });

  test("an unknown pipeline is NOT_FOUND", async () => {
    const stream = kit.raw.stream();
    stream.write(open("no-such-pipeline"));
    expect(await stream.ended).toMatchObject({
      t: "failed",
      failure: {
        status: "NOT_FOUND",
        reason: "PIPELINE_NOT_FOUND",
        metadata: { pipeline: "no-such-pipeline" },
      },
    });
  });

  test("other streams go on", async () => {
    const good = kit.raw.stream();
    good.write(open("program"));
    good.write(numbered(1, "ma"));
    const bad = kit.raw.stream();
    bad.write(open("program"));
    bad.write(numbered(7, "m"));
    expect((await bad.ended).t).toBe("failed");
    good.write(numbered(2, "mb"));
    good.halfClose();
    expect((await good.rest()).map((message) => message.case)).toEqual(["opened", "result", "result"]);
  });
});
