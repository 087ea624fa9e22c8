import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { RecordBatchSchema, TransformResultSchema } from "@leat/proto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  encodeFailure,
  mostFailures,
  packedFanoutSize,
  ResultTooLargeError,
  ResultView,
  readOutgoing,
  readResult,
  resultSize,
  roomFor,
  writeBatchHead,
  writeFanout,
} from "./result.ts";
import { Cursor, WireError } from "./wire.ts";

const bounds = { maxResultRecords: 1_000, maxFailureTextBytes: 20, maxFailureMessages: 40 };

function read(bytes: Uint8Array, inputs: number): ResultView {
  const cursor = new Cursor();
  cursor.reset(bytes, 0, bytes.length);
  const view = new ResultView();
  readResult(cursor, inputs, bounds, view);
  return view;
}

/** What became of each input: so many outputs, or a failure. */
const outcomes = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: fc.constant(1) },
    { weight: 3, arbitrary: fc.integer({ min: 0, max: 300 }) },
    { weight: 1, arbitrary: fc.constant("failed" as const) },
  ),
  { maxLength: 30 },
);

function resultOf(each: readonly (number | "failed")[]) {
  const fanout = each.map((outcome) => (outcome === "failed" ? 0 : outcome));
  const outputs = fanout.reduce((sum, count) => sum + count, 0);
  return create(TransformResultSchema, {
    batch: { records: Array.from({ length: outputs }, () => ({ value: Uint8Array.of(1) })) },
    fanout,
    failures: each.flatMap((outcome, index) =>
      outcome === "failed" ? [{ index, code: "bad_thing", message: "no", retryable: index % 2 === 0 }] : [],
    ),
  });
}

describe("reading a guest's result", () => {
  test("finds the batch, the fanout and the failures of every good one", () => {
    fc.assert(
      fc.property(outcomes, (each) => {
        const message = resultOf(each);
        if ((message.batch?.records.length ?? 0) > bounds.maxResultRecords) return;
        const bytes = toBinary(TransformResultSchema, message);
        const view = read(bytes, each.length);
        expect(fromBinary(RecordBatchSchema, bytes.subarray(view.batchStart, view.batchEnd))).toEqual(
          message.batch,
        );
        expect(view.records).toBe(message.batch?.records.length);
        expect(view.hasFanout).toBe(each.length > 0);
        expect([...view.fanout.subarray(0, each.length)]).toEqual(message.fanout);
        expect(view.failures).toEqual(
          message.failures.map(({ index, code, message: text, retryable }) => ({
            index,
            code,
            message: text,
            retryable,
          })),
        );
      }),
    );
  });

  test("never lets an account pass that does not add up", () => {
    fc.assert(
      fc.property(
        fc.nat(6),
        fc.array(fc.nat(3), { maxLength: 7 }),
        fc.nat(6),
        fc.array(fc.record({ index: fc.nat(7), code: fc.constant("bad") }), { maxLength: 3 }),
        (outputs, fanout, inputs, failures) => {
          const message = create(TransformResultSchema, {
            batch: { records: new Array(outputs).fill({}) },
            fanout,
            failures,
          });
          const sum = fanout.reduce((total, count) => total + count, 0);
          const addsUp =
            fanout.length === 0
              ? failures.length === 0 && outputs === inputs
              : fanout.length === inputs &&
                sum === outputs &&
                failures.every(
                  ({ index }, at) => fanout[index] === 0 && index > (failures[at - 1]?.index ?? -1),
                );
          const reading = () => read(toBinary(TransformResultSchema, message), inputs);
          if (addsUp) expect(reading).not.toThrow();
          else expect(reading).toThrow(WireError);
        },
      ),
      { numRuns: 2_000 },
    );
  });

  test("refuses any bytes with nothing but a WireError", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.nat(5), (bytes, inputs) => {
        try {
          read(bytes, inputs);
        } catch (error) {
          expect(error).toBeInstanceOf(WireError);
        }
      }),
      { numRuns: 3_000 },
    );
  });

  test("takes a fanout that is not packed, and one in parts", () => {
    const unpacked = Uint8Array.from([0x0a, 0x04, 0x0a, 0x00, 0x0a, 0x00, 0x10, 0x02, 0x10, 0x00]);
    expect([...read(unpacked, 2).fanout.subarray(0, 2)]).toEqual([2, 0]);
    const parts = Uint8Array.from([0x0a, 0x04, 0x0a, 0x00, 0x0a, 0x00, 0x12, 0x01, 0x01, 0x10, 0x01]);
    expect([...read(parts, 2).fanout.subarray(0, 2)]).toEqual([1, 1]);
  });

  test("leaves nothing of the result that was read before", () => {
    const cursor = new Cursor();
    const view = new ResultView();
    const first = toBinary(TransformResultSchema, resultOf([3, "failed", 1]));
    cursor.reset(first, 0, first.length);
    readResult(cursor, 3, bounds, view);
    const second = toBinary(
      TransformResultSchema,
      create(TransformResultSchema, { batch: { records: [{}] } }),
    );
    cursor.reset(second, 0, second.length);
    readResult(cursor, 1, bounds, view);
    expect([view.records, view.hasFanout, view.failures]).toEqual([1, false, []]);
  });

  test("names too many records as such", () => {
    const message = resultOf([1_001]);
    expect(() => read(toBinary(TransformResultSchema, message), 1)).toThrow(ResultTooLargeError);
  });

  test("cuts a long message and keeps it UTF-8", () => {
    const message = create(TransformResultSchema, {
      fanout: [0],
      failures: [{ index: 0, code: "bad", message: `${"x".repeat(19)}éé` }],
    });
    const [failure] = read(toBinary(TransformResultSchema, message), 1).failures;
    expect(failure?.message).toBe(`${"x".repeat(19)}\ufffd`);
  });

  test.each([
    ["index", [0x08, 0x00]],
    ["code", [0x12, 0x01, 0x61]],
    ["message", [0x1a, 0x01, 0x61]],
    ["retryable", [0x30, 0x01]],
  ])("refuses a failure that says its %s twice", (_, field) => {
    const result = (...failure: number[]) =>
      Uint8Array.from([0x12, 0x01, 0x00, 0x1a, failure.length, ...failure]);
    expect(read(result(...field), 1).failures).toHaveLength(1);
    expect(() => read(result(...field, ...field), 1)).toThrow(WireError);
  });

  test("passes over the fields of a failure that are the host's, however often they come", () => {
    const others = [0x22, 0x01, 0x61, 0x28, 0x01, 0x8a, 0x02, 0x00];
    const bytes = Uint8Array.from([0x12, 0x01, 0x00, 0x1a, 2 * others.length, ...others, ...others]);
    expect(read(bytes, 1).failures).toEqual([{ index: 0, code: "failed", message: "", retryable: false }]);
  });

  test("makes no text of messages beyond those that are kept, and still checks them", () => {
    const failed = (message: string) => ({ code: "bad", message });
    const failures = Array.from({ length: 41 }, (_, index) => ({ index, ...failed(`m${index}`) }));
    const bytes = toBinary(
      TransformResultSchema,
      create(TransformResultSchema, { fanout: failures.map(() => 0), failures }),
    );
    const messages = read(bytes, 41).failures.map(({ message }) => message);
    expect(messages).toEqual([...failures.slice(0, 40).map(({ message }) => message), ""]);
    bytes[bytes.length - 1] = 0xff;
    expect(() => read(bytes, 41)).toThrow(WireError);
  });

  test("gives a failure without a code one", () => {
    const message = create(TransformResultSchema, { fanout: [0], failures: [{ index: 0 }] });
    expect(read(toBinary(TransformResultSchema, message), 1).failures[0]?.code).toBe("failed");
  });
});

test("an answer may fail each of its inputs, and records that they were split into up to a bound", () => {
  const few = { ...bounds, maxResultRecords: 2 };
  const readOf = (inputs: number, failures: number) => () => {
    const message = create(TransformResultSchema, {
      batch: {},
      fanout: new Array(inputs).fill(0),
      failures: Array.from({ length: failures }, () => ({ code: "bad" })),
    });
    const bytes = toBinary(TransformResultSchema, message);
    const cursor = new Cursor();
    cursor.reset(bytes, 0, bytes.length);
    readOutgoing(cursor, inputs, few, new ResultView());
  };
  expect(readOf(10, 10)).not.toThrow();
  expect(readOf(10, 11)).toThrow(WireError);
  expect(readOf(1, mostFailures(few))).not.toThrow();
  expect(readOf(1, mostFailures(few) + 1)).toThrow(WireError);
});

describe("a result for the caller", () => {
  const outgoing = (bytes: Uint8Array, inputs: number) => {
    const cursor = new Cursor();
    const view = new ResultView();
    cursor.reset(bytes, 0, bytes.length);
    readOutgoing(cursor, inputs, bounds, view);
    return view;
  };
  const failure = { code: "bad", message: "é", stage: "s", attempts: 2, retryable: true };
  const ofTwo = (...indexes: number[]) =>
    Buffer.concat([
      Buffer.from([0x0a, 0x02, 0x0a, 0x00, 0x12, 0x02, 0x00, 0x01]),
      ...indexes.map((index) => encodeFailure({ ...failure, index })),
    ]);

  test("is what hosts write: an input may fail several times, and have outputs all the same", () => {
    const view = outgoing(ofTwo(0, 0, 1), 2);
    expect(view.records).toBe(1);
    expect(view.failures.map(({ index, code }) => [index, code])).toEqual([
      [0, "bad"],
      [0, "bad"],
      [1, "bad"],
    ]);
  });

  test("has its parts in order", () => {
    expect(() => outgoing(ofTwo(1, 0), 2)).toThrow("failures out of order");
    const late = Buffer.concat([ofTwo(0), Buffer.from([0x0a, 0x00])]);
    expect(() => outgoing(late, 2)).toThrow("field 1 out of order");
  });

  test("is nothing that others could not decode", () => {
    const whole = ofTwo(0);
    const random = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(random, (changes) => {
        const bytes = Uint8Array.from(whole);
        for (const [at, value] of changes) bytes[at] = value;
        try {
          outgoing(bytes, 2);
        } catch (error) {
          expect(error).toBeInstanceOf(WireError);
          return;
        }
        expect(() => fromBinary(TransformResultSchema, bytes)).not.toThrow();
      }),
      { numRuns: 5_000 },
    );
  });
});

describe("writing a result", () => {
  test("gives what other libraries decode, in the size that was foretold", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 0xffff_ffff }), { maxLength: 20 }),
        fc.uint8Array({ maxLength: 300 }),
        fc.array(
          fc.record({
            index: fc.integer({ min: 0, max: 0xffff_ffff }),
            code: fc.string({ unit: "grapheme", maxLength: 10 }),
            message: fc.string({ unit: "grapheme", maxLength: 10 }),
            stage: fc.string({ unit: "grapheme", maxLength: 10 }),
            attempts: fc.integer({ min: 1, max: 100 }),
            retryable: fc.boolean(),
          }),
          { maxLength: 4 },
        ),
        (counts, value, failures) => {
          const batch = toBinary(RecordBatchSchema, create(RecordBatchSchema, { records: [{ value }] }));
          const fanout = Uint32Array.from(counts);
          const fanoutBytes = packedFanoutSize(fanout, 0, fanout.length);
          const encoded = failures.map(encodeFailure);
          const failureBytes = encoded.reduce((sum, failure) => sum + failure.length, 0);
          const target = new Uint8Array(resultSize(batch.length, fanoutBytes, failureBytes));
          let position = writeBatchHead(target, 0, batch.length);
          target.set(batch, position);
          position += batch.length;
          if (fanoutBytes > 0)
            position = writeFanout(target, position, fanout, 0, fanout.length, fanoutBytes);
          for (const failure of encoded) {
            target.set(failure, position);
            position += failure.length;
          }
          expect(position).toBe(target.length);
          expect(fromBinary(TransformResultSchema, target)).toEqual(
            create(TransformResultSchema, { batch: { records: [{ value }] }, fanout: counts, failures }),
          );
        },
      ),
    );
  });
});

test("tables grow by powers of two, and are never small", () => {
  expect([0, 1, 1_024, 1_025, 5_000].map(roomFor)).toEqual([1_024, 1_024, 1_024, 2_048, 8_192]);
});
