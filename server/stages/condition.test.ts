import { fromBinary } from "@bufbuild/protobuf";
import { RecordSchema } from "@leat/proto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { anyCondition, holds } from "../../test/kit/conditions.ts";
import { writeVarint } from "../record/wire.ts";
import { Condition } from "./condition.ts";

function field(tag: number, body: Uint8Array): Uint8Array {
  const head = Buffer.alloc(16);
  head[0] = tag;
  return Buffer.concat([head.subarray(0, writeVarint(head, 1, body.length)), body]);
}

/** Lengths of one byte, and now and then of two or three. */
const bytes = fc
  .oneof(
    { weight: 20, arbitrary: fc.string({ unit: fc.constantFrom("a", "b", "é"), maxLength: 3 }) },
    fc.constantFrom("a".repeat(130), "b".repeat(17_000)),
  )
  .map((text) => Buffer.from(text));
const name = fc
  .oneof({ weight: 20, arbitrary: fc.constantFrom("h", "é", "hh", "") }, fc.constant("h".repeat(130)))
  .map((text) => Buffer.from(text));
/** A field that nobody knows, of each wire type. */
const unknown = fc.constantFrom(
  [0x78, 0x80, 0x01],
  [0x79, 1, 2, 3, 4, 5, 6, 7, 8],
  [0x7a, 2, 10, 1],
  [0x7d, 1, 2, 3, 4],
);

const part = fc.oneof(
  bytes.map((body) => field(0x0a, body)),
  bytes.map((body) => field(0x12, body)),
  unknown.map((body) => Uint8Array.from(body)),
  // The key's tag and length, each a byte longer than it need be.
  bytes
    .filter(({ length }) => length < 128)
    .map((body) => Uint8Array.from([0x8a, 0x00, body.length | 0x80, 0x00, ...body])),
);

/** A header whose name and value may be missing, come twice, or in any order. */
const header = fc
  .array(
    fc.oneof(
      name.map((body) => field(0x0a, body)),
      bytes.map((body) => field(0x12, body)),
      unknown.map((body) => Uint8Array.from(body)),
    ),
    { maxLength: 4 },
  )
  .map((parts) => field(0x1a, Buffer.concat(parts)));

const encoded = fc.array(fc.oneof(part, header), { maxLength: 6 }).map((parts) => Buffer.concat(parts));

test("a condition holds for a record on the wire exactly where it does for the decoded one", () => {
  let held = 0;
  let asked = 0;
  fc.assert(
    fc.property(anyCondition, fc.array(encoded, { maxLength: 5 }), (spec, records) => {
      const condition = new Condition(spec);
      for (const record of records) {
        const decoded = fromBinary(RecordSchema, record);
        const plain = {
          key: decoded.key === undefined ? undefined : Buffer.from(decoded.key).toString(),
          headers: decoded.headers.map(({ key, value }) => [key, Buffer.from(value).toString()] as const),
        };
        const around = Buffer.concat([Buffer.from("before"), record, Buffer.from("behind")]);
        const answer = condition.holdsFor(around, 6, 6 + record.length);
        expect(answer).toBe(holds(spec, plain));
        held += answer ? 1 : 0;
        asked++;
      }
    }),
    { numRuns: 2_000 },
  );
  expect(held / asked).toBeGreaterThan(0.2);
  expect(held / asked).toBeLessThan(0.8);
});

test("an empty key is there, and an unset one is not", () => {
  const condition = new Condition({ t: "key", match: { t: "exists" } });
  expect(condition.holdsFor(Uint8Array.from([0x0a, 0]), 0, 2)).toBe(true);
  expect(condition.holdsFor(new Uint8Array(0), 0, 0)).toBe(false);
});
