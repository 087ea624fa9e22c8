import { create, toBinary } from "@bufbuild/protobuf";
import { RecordBatchSchema, RecordSchema, TransformRequestSchema } from "@leat/sdk";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encode } from "../kit/raw-client.ts";
import { batchOf, fanoutOf, pipelineTarget, request, valuesOf } from "../kit/records.ts";
import { startTestServer, type TestServer } from "../kit/test-server.ts";

let kit: TestServer;

beforeAll(async () => {
  kit = await startTestServer({
    modules: { program: "program", marked: "marked", init: "init" },
    pipelines: { twice: ["init", "init"] },
  });
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

const target = pipelineTarget("twice");

describe("an empty batch", () => {
  test.each([
    ["that is there", { target, batch: {} }],
    ["that is not", { target }],
  ])("%s gives an empty result", async (_, sent) => {
    const result = await kit.raw.transform(sent);
    expect([result.batch?.records ?? [], result.fanout, result.failures]).toEqual([[], [], []]);
  });

  test("goes through a stream, too", async () => {
    const stream = kit.raw.stream();
    stream.write({ message: { case: "open", value: { target } } });
    stream.write({ message: { case: "batch", value: { sequence: 1n } } });
    stream.write({ message: { case: "batch", value: { sequence: 2n, batch: {} } } });
    stream.halfClose();
    expect((await stream.rest()).map((message) => message.case)).toEqual(["opened", "result", "result"]);
  });
});

test("a tombstone stays one: unset differs from empty, for keys and for values", async () => {
  const records = [{}, { key: new Uint8Array(0) }, { value: new Uint8Array(0) }, { key: Buffer.from("k") }];
  const result = await kit.raw.transform({ target, batch: { records } });
  expect(
    result.batch?.records.map(({ key, value }) => [
      key === undefined ? undefined : Buffer.from(key).toString(),
      value === undefined ? undefined : Buffer.from(value).toString(),
    ]),
  ).toEqual([
    [undefined, undefined],
    ["", undefined],
    [undefined, ""],
    ["k", undefined],
  ]);
  expect(fanoutOf(result, 4)).toEqual([1, 1, 1, 1]);
});

/** Records of every kind. */
const anyRecord = fc.record(
  {
    key: fc.uint8Array({ maxLength: 20 }),
    value: fc
      .uint8Array({ maxLength: 300 })
      .filter((value) => !"!~#%^$=@+&".includes(String.fromCharCode(value[0] ?? 0))),
    headers: fc.array(
      fc.record({
        key: fc.string({ unit: "binary", maxLength: 10 }),
        value: fc.uint8Array({ maxLength: 20 }),
      }),
      { maxLength: 4 },
    ),
    timestampMs: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  },
  { requiredKeys: [] },
);

test("records of every kind come through modules that change nothing as they were", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(anyRecord, { maxLength: 20 }),
      fc.constantFrom("twice", "marked"),
      async (records, pipeline) => {
        // Strings that are no Unicode cannot be sent at all.
        const batch = create(RecordBatchSchema, {
          records: records.map((record) => ({
            ...record,
            headers: (record.headers ?? []).map(({ key, value }) => ({ key: key.toWellFormed(), value })),
          })),
        });
        const result = await kit.raw.transform({ target: pipelineTarget(pipeline), batch });
        expect(result.batch?.records ?? []).toEqual(batch.records);
        expect(result.failures).toEqual([]);
      },
    ),
    { numRuns: 150 },
  );
});

test("headers keep their order and may repeat", async () => {
  const headers = ["b", "a", "b", "", "b"].map((key, index) => ({ key, value: Buffer.from([index]) }));
  const result = await kit.raw.transform({ target, batch: { records: [{ headers }] } });
  expect(result.batch?.records[0]?.headers.map(({ key, value }) => [key, value[0]])).toEqual([
    ["b", 0],
    ["a", 1],
    ["b", 2],
    ["", 3],
    ["b", 4],
  ]);
});

/** A request whose batch is these bytes. */
function withBatch(batch: Uint8Array): Buffer {
  const head = encode(TransformRequestSchema, { target });
  return Buffer.concat([head, Buffer.from([0x12, batch.length]), batch]);
}

describe("fields that this version does not know", () => {
  const value = encode(RecordSchema, { value: Buffer.from("v") });

  test.each([
    ["a number", Buffer.from([0x78, 0x05])],
    ["eight bytes", Buffer.from([0x79, 1, 2, 3, 4, 5, 6, 7, 8])],
    ["four bytes", Buffer.from([0x7d, 1, 2, 3, 4])],
    ["text", Buffer.from([0x7a, 0x02, 0x68, 0x69])],
    ["of the highest number", Buffer.from([0xf8, 0xff, 0xff, 0xff, 0x0f, 0x01])],
  ])("in a record (%s) travel with it", async (_, unknown) => {
    const record = Buffer.concat([value, unknown]);
    const batch = Buffer.concat([Buffer.from([0x0a, record.length]), record]);
    const result = await kit.raw.transformBytes(withBatch(batch));
    expect(Buffer.from(toBinary(RecordBatchSchema, result.batch ?? batchOf()))).toEqual(batch);
  });

  test("in a header travel with it", async () => {
    const header = Buffer.from([0x0a, 0x01, 0x68, 0xf8, 0xff, 0xff, 0xff, 0x0f, 0x01]);
    const record = Buffer.concat([Buffer.from([0x1a, header.length]), header]);
    const batch = Buffer.concat([Buffer.from([0x0a, record.length]), record]);
    const result = await kit.raw.transformBytes(withBatch(batch));
    expect(Buffer.from(toBinary(RecordBatchSchema, result.batch ?? batchOf()))).toEqual(batch);
  });

  test("in a request are passed over", async () => {
    const sent = Buffer.concat([
      encode(TransformRequestSchema, request("program", "ma")),
      Buffer.from([0x7a, 0x01, 0x00]),
    ]);
    expect(valuesOf(await kit.raw.transformBytes(sent))).toEqual(["a"]);
  });
});

test("a field that comes twice counts as it was last, as everywhere in protobuf", async () => {
  const record = Buffer.from([0x12, 0x01, 0x61, 0x12, 0x02, 0x6d, 0x62]);
  const batch = Buffer.concat([Buffer.from([0x0a, record.length]), record]);
  const result = await kit.raw.transformBytes(withBatch(batch));
  expect(valuesOf(result)).toEqual(["mb"]);
});

test("numbers in longer forms than they need are read all the same", async () => {
  const record = Buffer.from([0x12, 0x82, 0x80, 0x80, 0x80, 0x00, 0x61, 0x62, 0x20, 0x85, 0x80, 0x00]);
  const batch = Buffer.concat([Buffer.from([0x0a, record.length | 0x80, 0x00]), record]);
  const result = await kit.raw.transformBytes(withBatch(batch));
  expect(valuesOf(result)).toEqual(["ab"]);
  expect(result.batch?.records[0]?.timestampMs).toBe(5n);
});

test("a value of no bytes, of one byte and of every byte", async () => {
  const every = Uint8Array.from({ length: 256 }, (_, byte) => byte);
  const values = [new Uint8Array(0), Uint8Array.of(0), every];
  const result = await kit.raw.transform({ target, batch: batchOf(...values) });
  expect(result.batch?.records.map(({ value }) => Buffer.from(value ?? []))).toEqual(
    values.map((value) => Buffer.from(value)),
  );
});
