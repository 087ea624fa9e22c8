import type { MessageInitShape } from "@bufbuild/protobuf";
import { create, toBinary } from "@bufbuild/protobuf";
import { RecordBatchSchema, RecordSchema } from "@leat/proto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BatchWriter } from "./writer.ts";

function written(records: Parameters<BatchWriter["append"]>[0][]): Uint8Array {
  const writer = new BatchWriter();
  for (const record of records) writer.append(record);
  expect(writer.count).toBe(records.length);
  const size = writer.sizeBytes;
  const { bytes, count } = writer.take();
  expect([bytes.length, count]).toEqual([size, records.length]);
  return bytes;
}

function encoded(records: MessageInitShape<typeof RecordSchema>[]): Uint8Array {
  return toBinary(RecordBatchSchema, create(RecordBatchSchema, { records }));
}

const bytes = fc.uint8Array({ maxLength: 200 });
const record = fc.record(
  {
    key: bytes,
    value: fc.oneof(bytes, fc.uint8Array({ minLength: 16_380, maxLength: 16_390 })),
    headers: fc.array(fc.record({ key: fc.string({ unit: "grapheme" }), value: bytes }), { maxLength: 3 }),
    timestampMs: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  },
  { requiredKeys: [] },
);

describe("BatchWriter", () => {
  test("writes what the generated schema writes, for any records", () => {
    fc.assert(
      fc.property(fc.array(record, { maxLength: 20 }), (records) => {
        expect(written(records)).toEqual(encoded(records));
      }),
      { numRuns: 200 },
    );
  });

  test("tells unset from empty: a tombstone from an empty value", () => {
    expect(written([{ key: "k" }, { key: "k", value: "" }])).toEqual(
      encoded([{ key: Uint8Array.of(107) }, { key: Uint8Array.of(107), value: new Uint8Array() }]),
    );
  });

  test("writes strings as UTF-8, and dates and numbers as milliseconds", () => {
    const timestampMs = 1_764_000_000_123;
    const utf8 = new TextEncoder();
    const value = utf8.encode("größer ≥ 𝄞");
    expect(
      written([{ key: "ключ", value: "größer ≥ 𝄞", timestampMs }, { timestampMs: new Date(timestampMs) }]),
    ).toEqual(
      encoded([
        { key: utf8.encode("ключ"), value, timestampMs: BigInt(timestampMs) },
        { timestampMs: BigInt(timestampMs) },
      ]),
    );
  });

  test("takes generated messages as they are", () => {
    const message = create(RecordSchema, {
      value: Uint8Array.of(1),
      headers: [{ key: "a", value: Uint8Array.of(2) }],
    });
    expect(written([message])).toEqual(encoded([message]));
  });

  test("keeps the last record when a batch is taken without it", () => {
    const writer = new BatchWriter();
    for (const value of ["a", "bb", "ccc"]) writer.append({ value });
    const utf8 = new TextEncoder();
    const first = writer.takeAllButLast();
    expect(first.bytes).toEqual(encoded([{ value: utf8.encode("a") }, { value: utf8.encode("bb") }]));
    expect([first.count, writer.count]).toEqual([2, 1]);
    expect(writer.take().bytes).toEqual(encoded([{ value: utf8.encode("ccc") }]));
  });

  test("is not changed by a batch that was taken before", () => {
    const writer = new BatchWriter();
    writer.append({ value: "first" });
    const { bytes } = writer.take();
    const copy = bytes.slice();
    writer.append({ value: "other" });
    expect(bytes).toEqual(copy);
  });

  test("refuses a timestamp that is no whole number, and stays as it was", () => {
    const writer = new BatchWriter();
    expect(() => writer.append({ value: "a", timestampMs: 0.5 })).toThrow("timestampMs is 0.5");
    expect(() => writer.append({ value: "a", timestampMs: new Date(Number.NaN) })).toThrow(RangeError);
    expect(() => writer.append({ timestampMs: 2n ** 63n })).toThrow(RangeError);
    expect([writer.count, writer.sizeBytes]).toEqual([0, 0]);
  });
});
