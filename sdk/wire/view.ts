/**
 * The data plane's messages with batches and results left encoded.
 *
 * A `bytes` field and an embedded message look the same on the wire. These descriptors are made from
 * the public `transform.proto` by declaring every `RecordBatch` and `TransformResult` as `bytes`, so
 * they cannot drift from it. With them a batch is encoded once, kept as bytes for a resend, and a
 * result is decoded only when somebody looks at it.
 *
 * @module
 */

import type { DescMessage, DescMethodBiDiStreaming, DescMethodUnary, Message } from "@bufbuild/protobuf";
import { clone, createFileRegistry } from "@bufbuild/protobuf";
import type { GenMessage } from "@bufbuild/protobuf/codegenv2";
import type { FileDescriptorProto } from "@bufbuild/protobuf/wkt";
import { FieldDescriptorProto_Type, FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import type { BatchError, OpenStream, StreamDraining, StreamOpened, Target } from "@leat/proto";
import { file_leat_v1_transform } from "@leat/proto";

/** `leat.v1.TransformRequest`, its batch encoded. */
export type TransformRequestView = Message<"leat.v1.TransformRequest"> & {
  target?: Target;
  batch: Uint8Array;
};

/** `leat.v1.TransformResponse`, its result encoded. */
export type TransformResponseView = Message<"leat.v1.TransformResponse"> & { result: Uint8Array };

/** `leat.v1.StreamBatch`, its batch encoded. */
export type StreamBatchView = Message<"leat.v1.StreamBatch"> & {
  sequence: bigint;
  traceparent: string;
  batch: Uint8Array;
};

/** `leat.v1.StreamTransformRequest`, its batch encoded. */
export type StreamRequestView = Message<"leat.v1.StreamTransformRequest"> & {
  message:
    | { case: "open"; value: OpenStream }
    | { case: "batch"; value: StreamBatchView }
    | { case: undefined; value?: undefined };
};

/** `leat.v1.StreamResult`, its result encoded. */
export type StreamResultView = Message<"leat.v1.StreamResult"> & {
  sequence: bigint;
  outcome:
    | { case: "result"; value: Uint8Array }
    | { case: "error"; value: BatchError }
    | { case: undefined; value?: undefined };
};

/** `leat.v1.StreamTransformResponse`, its result encoded. */
export type StreamResponseView = Message<"leat.v1.StreamTransformResponse"> & {
  message:
    | { case: "opened"; value: StreamOpened }
    | { case: "result"; value: StreamResultView }
    | { case: "draining"; value: StreamDraining }
    | { case: undefined; value?: undefined };
};

const opaqueTypes = new Set([".leat.v1.RecordBatch", ".leat.v1.TransformResult"]);

function withOpaqueBatches(original: FileDescriptorProto): FileDescriptorProto {
  const file = clone(FileDescriptorProtoSchema, original);
  for (const field of file.messageType.flatMap((message) => message.field)) {
    if (!opaqueTypes.has(field.typeName)) continue;
    field.type = FieldDescriptorProto_Type.BYTES;
    field.typeName = "";
  }
  return file;
}

const registry = createFileRegistry(withOpaqueBatches(file_leat_v1_transform.proto), (path) =>
  file_leat_v1_transform.dependencies.find(({ proto }) => proto.name === path),
);

function methodOf<Kind extends "unary" | "bidi_streaming">(name: string, kind: Kind) {
  const method = registry.getService("leat.v1.TransformService")?.method[name];
  if (method?.methodKind !== kind)
    throw new TypeError(`leat.v1.TransformService has no ${kind} method ${name}`);
  return method;
}

function messageOf<Shape extends Message>(typeName: Shape["$typeName"]): GenMessage<Shape> {
  const message: DescMessage | undefined = registry.getMessage(typeName);
  if (message === undefined) throw new TypeError(`transform.proto declares no ${typeName}`);
  // The shape is what withOpaqueBatches makes of the generated type; view.test.ts pins it.
  return message as GenMessage<Shape>;
}

/** `TransformRequest`, its batch encoded. */
export const TransformRequestViewSchema = messageOf<TransformRequestView>("leat.v1.TransformRequest");
/** `TransformResponse`, its result encoded. */
export const TransformResponseViewSchema = messageOf<TransformResponseView>("leat.v1.TransformResponse");
/** `StreamTransformRequest`, its batch encoded. */
export const StreamRequestViewSchema = messageOf<StreamRequestView>("leat.v1.StreamTransformRequest");
/** `StreamTransformResponse`, its result encoded. */
export const StreamResponseViewSchema = messageOf<StreamResponseView>("leat.v1.StreamTransformResponse");

/** `TransformService.Transform` over the views: the same path, the same bytes. */
export const transformView = methodOf("transform", "unary") as DescMethodUnary<
  typeof TransformRequestViewSchema,
  typeof TransformResponseViewSchema
>;

/** `TransformService.StreamTransform` over the views: the same path, the same bytes. */
export const streamTransformView = methodOf("streamTransform", "bidi_streaming") as DescMethodBiDiStreaming<
  typeof StreamRequestViewSchema,
  typeof StreamResponseViewSchema
>;
