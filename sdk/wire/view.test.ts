import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  OpenStreamSchema,
  RecordBatchSchema,
  StreamTransformRequestSchema,
  StreamTransformResponseSchema,
  TargetSchema,
  TransformRequestSchema,
  TransformResponseSchema,
  TransformResultSchema,
  TransformService,
} from "@leat/proto";
import { expect, test } from "vitest";
import { methodPath } from "../transport/call.ts";
import {
  StreamRequestViewSchema,
  StreamResponseViewSchema,
  streamTransformView,
  TransformRequestViewSchema,
  TransformResponseViewSchema,
  transformView,
} from "./view.ts";

const records = [
  { key: Uint8Array.of(1), value: Uint8Array.of(2, 3), headers: [{ key: "h" }], timestampMs: 4n },
  {},
];
const batch = create(RecordBatchSchema, { records });
const batchBytes = toBinary(RecordBatchSchema, batch);
const result = create(TransformResultSchema, { batch, fanout: [1, 1], failures: [{ index: 1, code: "c" }] });
const resultBytes = toBinary(TransformResultSchema, result);
const target = create(TargetSchema, { target: { case: "inline", value: { modules: ["a", "b@2"] } } });

test("unary messages have the same bytes as the public ones", () => {
  expect(
    toBinary(TransformRequestViewSchema, create(TransformRequestViewSchema, { target, batch: batchBytes })),
  ).toEqual(toBinary(TransformRequestSchema, create(TransformRequestSchema, { target, batch })));
  const response = toBinary(TransformResponseSchema, create(TransformResponseSchema, { result }));
  expect(fromBinary(TransformResponseViewSchema, response).result).toEqual(resultBytes);
});

test("stream messages have the same bytes as the public ones", () => {
  const traceparent = "00-1-2-01";
  const view = create(StreamRequestViewSchema, {
    message: { case: "batch", value: { sequence: 7n, traceparent, batch: batchBytes } },
  });
  const original = create(StreamTransformRequestSchema, {
    message: { case: "batch", value: { sequence: 7n, traceparent, batch } },
  });
  expect(toBinary(StreamRequestViewSchema, view)).toEqual(toBinary(StreamTransformRequestSchema, original));
  const value = create(OpenStreamSchema, {
    target,
    streamId: "s",
    unordered: true,
    window: 3,
    afterSequence: 9n,
  });
  const open = { case: "open", value } as const;
  expect(toBinary(StreamRequestViewSchema, create(StreamRequestViewSchema, { message: open }))).toEqual(
    toBinary(StreamTransformRequestSchema, create(StreamTransformRequestSchema, { message: open })),
  );
});

test("stream answers keep their results encoded, and everything else decoded", () => {
  const answer = create(StreamTransformResponseSchema, {
    message: { case: "result", value: { sequence: 7n, outcome: { case: "result", value: result } } },
  });
  const { message } = fromBinary(StreamResponseViewSchema, toBinary(StreamTransformResponseSchema, answer));
  expect(message).toMatchObject({
    case: "result",
    value: { sequence: 7n, outcome: { case: "result", value: resultBytes } },
  });
  const error = { code: 8, reason: "QUEUE_FULL", message: "full", retryAfter: { seconds: 1n } };
  const refusal = create(StreamTransformResponseSchema, {
    message: { case: "result", value: { sequence: 8n, outcome: { case: "error", value: error } } },
  });
  const seen = fromBinary(StreamResponseViewSchema, toBinary(StreamTransformResponseSchema, refusal));
  expect(seen.message).toMatchObject({ value: { outcome: { case: "error", value: error } } });
});

test("the methods go by the same paths as the public ones", () => {
  expect(methodPath(transformView)).toBe(methodPath(TransformService.method.transform));
  expect(methodPath(streamTransformView)).toBe(methodPath(TransformService.method.streamTransform));
});
