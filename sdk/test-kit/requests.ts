import { create } from "@bufbuild/protobuf";
import { ConnectError } from "@connectrpc/connect";
import type { StreamTransformRequest, TransformRequest } from "@leat/proto";
import { StreamTransformRequestSchema, TransformRequestSchema } from "@leat/proto";

const utf8 = new TextEncoder();

/** A unary request with one record. */
export function request(pipeline: string, value = "mill"): TransformRequest {
  return create(TransformRequestSchema, {
    target: { target: { case: "pipeline", value: pipeline } },
    batch: { records: [{ value: utf8.encode(value) }] },
  });
}

/** A stream's first request. */
export function opening(pipeline: string): StreamTransformRequest {
  const value = { target: { target: { case: "pipeline", value: pipeline } } } as const;
  return create(StreamTransformRequestSchema, { message: { case: "open", value } });
}

/** A stream's batch with one record. */
export function numbered(sequence: bigint, value: string): StreamTransformRequest {
  const batch = { records: [{ value: utf8.encode(value) }] };
  return create(StreamTransformRequestSchema, { message: { case: "batch", value: { sequence, batch } } });
}

/** The ConnectError that a call fails with. */
export async function failure(promise: Promise<unknown>): Promise<ConnectError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error instanceof ConnectError) return error;
  throw new Error(`expected a ConnectError, got ${String(error)}`);
}
