import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { RecordBatchSchema } from "@leat/proto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { walkBatch } from "./batch.ts";
import { Cursor, WireError } from "./wire.ts";

function walk(bytes: Uint8Array, start = 0, end = bytes.length): number {
  const cursor = new Cursor();
  cursor.reset(bytes, start, end);
  const count = walkBatch(cursor);
  expect(cursor.position).toBe(end);
  expect(cursor.end).toBe(end);
  return count;
}

const batch = fc
  .array(
    fc.record(
      {
        key: fc.uint8Array({ maxLength: 200 }),
        value: fc.uint8Array({ maxLength: 400 }),
        headers: fc.array(
          fc.record({
            key: fc.string({ unit: "grapheme", maxLength: 8 }),
            value: fc.uint8Array({ maxLength: 140 }),
          }),
          { maxLength: 3 },
        ),
        timestampMs: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      },
      { requiredKeys: [] },
    ),
    { maxLength: 12 },
  )
  .map((records) => create(RecordBatchSchema, { records }));

describe("walking a batch", () => {
  test("counts the records of every batch", () => {
    fc.assert(
      fc.property(batch, (message) => {
        expect(walk(toBinary(RecordBatchSchema, message))).toBe(message.records.length);
      }),
    );
  });

  test("looks at nothing outside of it", () => {
    fc.assert(
      fc.property(batch, fc.nat(20), (message, around) => {
        const encoded = toBinary(RecordBatchSchema, message);
        const bytes = new Uint8Array(encoded.length + 2 * around).fill(0x0a);
        bytes.set(encoded, around);
        expect(walk(bytes, around, around + encoded.length)).toBe(message.records.length);
      }),
    );
  });

  test("lets pass only what other libraries decode to as many records, whatever was changed", () => {
    let passed = 0;
    fc.assert(
      fc.property(
        batch,
        fc.array(fc.record({ at: fc.nat(), byte: fc.integer({ min: 0, max: 255 }) }), { maxLength: 3 }),
        fc.nat(3),
        (message, changes, cut) => {
          const encoded = toBinary(RecordBatchSchema, message);
          const bytes = encoded.slice(0, Math.max(0, encoded.length - cut));
          for (const { at, byte } of changes) if (bytes.length > 0) bytes[at % bytes.length] = byte;
          let count: number;
          try {
            count = walk(bytes);
          } catch (error) {
            expect(error).toBeInstanceOf(WireError);
            return;
          }
          passed++;
          expect(fromBinary(RecordBatchSchema, bytes).records).toHaveLength(count);
        },
      ),
      { numRuns: 3_000 },
    );
    expect(passed).toBeGreaterThan(100);
  });

  test("lets pass, of any bytes, only what other libraries decode", () => {
    const byte = fc.oneof(
      fc.constantFrom(0x0a, 0x12, 0x1a, 0x20, 0, 1, 2, 3, 4),
      fc.integer({ min: 0, max: 255 }),
    );
    fc.assert(
      fc.property(fc.array(byte, { maxLength: 16 }), (numbers) => {
        const bytes = Uint8Array.from(numbers);
        let count: number;
        try {
          count = walk(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(WireError);
          return;
        }
        expect(fromBinary(RecordBatchSchema, bytes).records).toHaveLength(count);
      }),
      { numRuns: 5_000 },
    );
  });

  test("reads lengths of one, two, three and more bytes", () => {
    for (const length of [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152]) {
      const message = create(RecordBatchSchema, {
        records: [{ value: new Uint8Array(length) }, { key: new Uint8Array(length) }],
      });
      expect(walk(toBinary(RecordBatchSchema, message))).toBe(2);
    }
  });
});
