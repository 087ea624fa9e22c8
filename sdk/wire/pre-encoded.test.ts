import { create, fromBinary, isMessage, toBinary } from "@bufbuild/protobuf";
import { RecordBatchSchema, StreamTransformRequestSchema, TransformRequestSchema } from "@leat/proto";
import { expect, test } from "vitest";
import { EncodedStreamBatch, EncodedTransformRequest, encodeTarget } from "./pre-encoded.ts";
import { StreamRequestViewSchema, TransformRequestViewSchema } from "./view.ts";

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

function batchOf(sizeBytes: number): Uint8Array {
  const records = [{ value: new Uint8Array(sizeBytes).fill(7) }];
  return toBinary(RecordBatchSchema, create(RecordBatchSchema, { records }));
}

test.each([0, 1, 100, 200, 20_000, 3_000_000])(
  "a unary request with %i bytes is what protobuf-es makes of it",
  (size) => {
    for (const target of ["orders", { modules: ["a", "b@2"] }]) {
      const request = new EncodedTransformRequest(encodeTarget(target), batchOf(size));
      const bytes = new Uint8Array(request.bytes);
      expect(isMessage(request, TransformRequestViewSchema)).toBe(true);
      expect(bytes).toEqual(toBinary(TransformRequestViewSchema, request));
      expect(fromBinary(TransformRequestSchema, bytes).batch?.records).toHaveLength(1);
    }
  },
);

test.each([1, 127, 128, 70_000, 2 ** 31, 2 ** 40, Number.MAX_SAFE_INTEGER])(
  "a stream's batch with the number %i is what protobuf-es makes of it",
  (sequence) => {
    for (const trace of ["", traceparent]) {
      const request = new EncodedStreamBatch(sequence, trace, batchOf(300));
      const bytes = new Uint8Array(request.bytes);
      expect(isMessage(request, StreamRequestViewSchema)).toBe(true);
      expect(bytes).toEqual(toBinary(StreamRequestViewSchema, request));
      expect(fromBinary(StreamTransformRequestSchema, bytes).message).toMatchObject({
        case: "batch",
        value: { sequence: BigInt(sequence), traceparent: trace },
      });
    }
  },
);
