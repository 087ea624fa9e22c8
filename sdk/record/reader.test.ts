import { create, toBinary } from "@bufbuild/protobuf";
import { TransformResultSchema } from "@leat/proto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseResult } from "./reader.ts";

const bytes = fc.uint8Array({ maxLength: 50 });
const record = fc.record(
  {
    key: bytes,
    value: bytes,
    headers: fc.array(fc.record({ key: fc.string({ unit: "grapheme" }), value: bytes }), { maxLength: 3 }),
    timestampMs: fc.bigInt({ min: BigInt(Number.MIN_SAFE_INTEGER), max: BigInt(Number.MAX_SAFE_INTEGER) }),
  },
  { requiredKeys: [] },
);
const uint32 = fc.integer({ min: 0, max: 0xffff_ffff });
const result = fc.record({
  batch: fc.record({ records: fc.array(record, { maxLength: 10 }) }),
  fanout: fc.array(uint32, { maxLength: 10 }),
  failures: fc.array(
    fc.record({ index: uint32, code: fc.string({ unit: "grapheme" }), retryable: fc.boolean() }),
  ),
});

describe("parseResult", () => {
  test("reads what the generated schema wrote, for any result", () => {
    fc.assert(
      fc.property(result, (init) => {
        const parsed = parseResult(toBinary(TransformResultSchema, create(TransformResultSchema, init)));
        expect(parsed.records).toEqual(
          init.batch.records.map(({ key, value, headers = [], timestampMs = 0n }) => ({
            key,
            value,
            headers,
            timestampMs: Number(timestampMs),
          })),
        );
        expect(parsed.fanout).toEqual(init.fanout.length > 0 ? init.fanout : undefined);
        expect(parsed.failures.map(({ index, code, retryable }) => ({ index, code, retryable }))).toEqual(
          init.failures,
        );
      }),
      { numRuns: 300 },
    );
  });

  test("tells a tombstone from an empty value", () => {
    const message = create(TransformResultSchema, { batch: { records: [{}, { value: new Uint8Array() }] } });
    const { records } = parseResult(toBinary(TransformResultSchema, message));
    expect(records.map(({ value }) => value)).toEqual([undefined, new Uint8Array()]);
  });

  test("merges batches that stand end to end, and passes over fields it does not know", () => {
    const one = toBinary(TransformResultSchema, create(TransformResultSchema, { batch: { records: [{}] } }));
    const unknown = Uint8Array.of(0x78, 5, 0x79, 1, 2, 3, 4, 5, 6, 7, 8, 0x7a, 2, 9, 9, 0x7d, 1, 2, 3, 4);
    expect(parseResult(Buffer.concat([one, unknown, one])).records).toHaveLength(2);
  });

  test("never returns from malformed bytes with anything but a result or an error, for any bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (noise) => {
        try {
          expect(parseResult(noise)).toHaveProperty("records");
        } catch (error) {
          expect(error).toBeInstanceOf(Error);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  test.each([
    ["a length beyond the end", [0x0a, 5, 1]],
    ["a number without an end", [0x10, 0x80]],
    ["a number that is too long", [0x10, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01]],
    ["a group", [0x0b]],
  ])("%s is refused", (_, content) => {
    expect(() => parseResult(Uint8Array.from(content))).toThrow(RangeError);
  });
});
