import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  RecordBatchSchema,
  StreamTransformRequestSchema,
  StreamTransformResponseSchema,
  type TargetSchema,
  TransformRequestSchema,
  TransformResponseSchema,
  type TransformResult,
  TransformResultSchema,
} from "@leat/proto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { outputHeadroomBytes } from "../bridge/layout.ts";
import type { BatchResult } from "../pool/batch-job.ts";
import { streamReply, transformReply } from "./reply.ts";
import { readStream, readTransform } from "./request-view.ts";

const bytes = fc.uint8Array({ maxLength: 40 });
const text = fc.string({ unit: "grapheme", maxLength: 12 });
const uint64 = fc.bigInt({ min: 0n, max: 2n ** 53n - 1n });

const record = fc.record(
  {
    key: bytes,
    value: bytes,
    headers: fc.array(fc.record({ key: text, value: bytes }), { maxLength: 3 }),
    timestampMs: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  },
  { requiredKeys: [] },
);

const batch = fc.array(record, { maxLength: 8 }).map((records) => create(RecordBatchSchema, { records }));

type TargetInit = MessageInitShape<typeof TargetSchema>;

const target: fc.Arbitrary<TargetInit> = fc.oneof(
  fc.constant({}),
  text.map((value) => ({ target: { case: "pipeline" as const, value } })),
  fc
    .array(text, { maxLength: 5 })
    .map((modules) => ({ target: { case: "inline" as const, value: { modules } } })),
);

/** The batch that a view points at. */
function batchIn(view: { readonly bytes: Buffer; readonly start: number; readonly end: number }) {
  return fromBinary(RecordBatchSchema, Uint8Array.from(view.bytes.subarray(view.start, view.end)));
}

describe("the private view of a request", () => {
  test("of a Transform says what the public message says", () => {
    fc.assert(
      fc.property(
        fc.option(target, { nil: undefined }),
        fc.option(batch, { nil: undefined }),
        (to, records) => {
          const message = create(TransformRequestSchema, {
            ...(to === undefined ? {} : { target: to }),
            ...(records === undefined ? {} : { batch: records }),
          });
          const view = readTransform(Buffer.from(toBinary(TransformRequestSchema, message)));
          if (view.t !== "transform") throw new Error(view.problem);
          expect(view.target).toEqual(message.target);
          expect(batchIn(view)).toEqual(message.batch ?? create(RecordBatchSchema));
        },
      ),
    );
  });

  test("of a stream's opening does, too", () => {
    fc.assert(
      fc.property(
        fc.record({
          target,
          streamId: text,
          unordered: fc.boolean(),
          window: fc.integer({ min: 0, max: 0xffff_ffff }),
          afterSequence: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
        }),
        (value) => {
          const message = create(StreamTransformRequestSchema, { message: { case: "open", value } });
          const view = readStream(Buffer.from(toBinary(StreamTransformRequestSchema, message)));
          expect(view).toEqual({ t: "open", open: message.message.value });
        },
      ),
    );
  });

  test("and of a stream's batch", () => {
    fc.assert(
      fc.property(
        uint64,
        fc.string({ unit: "binary-ascii", maxLength: 60 }),
        fc.option(batch, { nil: undefined }),
        (sequence, traceparent, records) => {
          const message = create(StreamTransformRequestSchema, {
            message: {
              case: "batch",
              value: { sequence, traceparent, ...(records === undefined ? {} : { batch: records }) },
            },
          });
          const view = readStream(Buffer.from(toBinary(StreamTransformRequestSchema, message)));
          if (view.t !== "batch") throw new Error(`read as ${view.t}`);
          expect(view).toMatchObject({ sequence: Number(sequence), traceparent });
          expect(batchIn(view)).toEqual(records ?? create(RecordBatchSchema));
        },
      ),
    );
  });

  test("never throws, whatever the bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (noise) => {
        expect(["transform", "malformed"]).toContain(readTransform(Buffer.from(noise)).t);
        expect(["open", "batch", "empty", "malformed"]).toContain(readStream(Buffer.from(noise)).t);
      }),
      { numRuns: 3_000 },
    );
  });

  test("of a message that was cut or changed points at nothing outside of it", () => {
    const message = toBinary(
      StreamTransformRequestSchema,
      create(StreamTransformRequestSchema, {
        message: {
          case: "batch",
          value: {
            sequence: 7n,
            traceparent: "00-ab",
            batch: { records: [{ value: Buffer.from("value") }] },
          },
        },
      }),
    );
    fc.assert(
      fc.property(
        fc.nat(message.length - 1),
        fc.integer({ min: 0, max: 255 }),
        fc.nat(message.length),
        (at, byte, length) => {
          const changed = Buffer.from(message.subarray(0, length));
          if (at < changed.length) changed[at] = byte;
          const view = readStream(changed);
          if (view.t !== "batch") return;
          expect(view.start).toBeLessThanOrEqual(view.end);
          expect(view.end).toBeLessThanOrEqual(changed.length);
        },
      ),
      { numRuns: 2_000 },
    );
  });
});

/** A result as it lies in a worker's memory, with the room before it that replies write to. */
function inSlot(result: TransformResult, before: number): BatchResult & { released: number } {
  const encoded = toBinary(TransformResultSchema, result);
  const memory = Buffer.alloc(before + outputHeadroomBytes + encoded.length, 0xee);
  memory.set(encoded, before + outputHeadroomBytes);
  return {
    bytes: memory,
    start: before + outputHeadroomBytes,
    length: encoded.length,
    recordsIn: 0,
    recordsOut: 0,
    recordsFailed: 0,
    scarce: false,
    released: 0,
    release() {
      this.released++;
    },
  };
}

const result = fc
  .record({
    batch,
    fanout: fc.array(fc.integer({ min: 0, max: 0xffff_ffff }), { maxLength: 5 }),
    failures: fc.array(fc.record({ index: fc.nat(), code: text, message: text }), { maxLength: 3 }),
  })
  .map((init) => create(TransformResultSchema, init));

describe("a reply that is put around encoded results", () => {
  test("decodes as the public TransformResponse, and touches nothing before its room", () => {
    fc.assert(
      fc.property(result, fc.nat(100), (message, before) => {
        const slot = inSlot(message, before);
        const reply = Uint8Array.from(transformReply(slot).serialize());
        expect(fromBinary(TransformResponseSchema, reply).result).toEqual(message);
        expect(slot.bytes.subarray(0, before).every((byte) => byte === 0xee)).toBe(true);
        expect(slot.released).toBe(1);
      }),
    );
  });

  test("decodes as the public StreamTransformResponse, for numbers of any size", () => {
    fc.assert(
      fc.property(result, uint64, (message, sequence) => {
        const slot = inSlot(message, 10);
        const reply = Uint8Array.from(streamReply(Number(sequence), slot).serialize());
        expect(fromBinary(StreamTransformResponseSchema, reply)).toEqual(
          create(StreamTransformResponseSchema, {
            message: { case: "result", value: { sequence, outcome: { case: "result", value: message } } },
          }),
        );
        expect(slot.bytes.subarray(0, 10).every((byte) => byte === 0xee)).toBe(true);
      }),
    );
  });

  test("keeps its bytes when it is detached, and releases the memory once", () => {
    const message = create(TransformResultSchema, { batch: { records: [{ value: Buffer.from("v") }] } });
    const slot = inSlot(message, 0);
    const reply = transformReply(slot);
    expect(reply.isAttached).toBe(true);
    reply.detach();
    expect(reply.isAttached).toBe(false);
    slot.bytes.fill(0);
    reply.detach();
    expect(toBinary(TransformResponseSchema, fromBinary(TransformResponseSchema, reply.serialize()))).toEqual(
      toBinary(TransformResponseSchema, create(TransformResponseSchema, { result: message })),
    );
    expect(slot.released).toBe(1);
  });
});
