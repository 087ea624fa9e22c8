/** The uppercase modules, made with the kit and by hand, against a model in JavaScript. */

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { LocalHost } from "@leat/assemblyscript/local-host";
import { RecordBatchSchema, TransformResultSchema } from "@leat/proto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { loadExample } from "./index.ts";

const bytes = fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.uint8Array({ maxLength: 400 }));
const letters = fc.string({ unit: "grapheme", maxLength: 300 }).map((text) => new TextEncoder().encode(text));
const records = fc.array(
  fc.record(
    {
      key: bytes,
      value: fc.oneof(bytes, letters),
      headers: fc.array(fc.record({ key: fc.string(), value: bytes }), { maxLength: 3 }),
      timestampMs: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      $unknown: fc.array(
        fc.record({
          no: fc.integer({ min: 5, max: 20_000 }),
          wireType: fc.constant(5),
          data: fc.uint8Array({ minLength: 4, maxLength: 4 }),
        }),
        { maxLength: 2 },
      ),
    },
    { requiredKeys: [] },
  ),
  { maxLength: 30 },
);

function upper(value: Uint8Array): Uint8Array {
  return value.map((byte) => (byte >= 0x61 && byte <= 0x7a ? byte - 0x20 : byte));
}

describe.each(["uppercase", "uppercase-raw"] as const)("%s", (name) => {
  test("turns the ASCII letters of every value to upper case and leaves all else as it is", async () => {
    const host = await LocalHost.start(await loadExample(name));
    fc.assert(
      fc.property(records, (inputs) => {
        const batch = create(RecordBatchSchema);
        const expected = create(RecordBatchSchema);
        for (const { $unknown = [], ...input } of inputs) {
          for (const [to, value] of [
            [batch, input.value],
            [expected, input.value && upper(input.value)],
          ] as const) {
            const [record] = create(RecordBatchSchema, {
              records: [{ ...input, ...(value && { value }) }],
            }).records;
            if (record === undefined) continue;
            record.$unknown = $unknown;
            to.records.push(record);
          }
        }
        const result = fromBinary(
          TransformResultSchema,
          host.transformBytes(toBinary(RecordBatchSchema, batch)),
        );
        expect(result.fanout).toEqual([]);
        expect(result.failures).toEqual([]);
        // The order of fields is the encoder's, and the unknown ones come last in both.
        expect(toBinary(RecordBatchSchema, result.batch ?? create(RecordBatchSchema))).toEqual(
          toBinary(RecordBatchSchema, expected),
        );
      }),
      { numRuns: 300 },
    );
  });
});
