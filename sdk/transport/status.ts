import { fromBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Metadata, StatusObject } from "@grpc/grpc-js";
import { status as grpcStatus } from "@grpc/grpc-js";
import { RpcStatusSchema } from "@leat/proto";
import { toHeaders } from "./headers.ts";

const detailsKey = "grpc-status-details-bin";

function isCode(code: number): code is Code {
  return code >= Code.Canceled && code <= Code.Unauthenticated;
}

/**
 * How grpc-js tells that HTTP/2 ended a call before the server gave a status, where gRPC would have it UNAVAILABLE: as INTERNAL for a connection that was ended with
 * INTERNAL_ERROR, as a server does that has had too many resets on it, and as RESOURCE_EXHAUSTED for ENHANCE_YOUR_CALM, with which Node refuses to begin
 * a call that is one too many on its connection.
 */
const lost = new Map<number, RegExp>([
  [grpcStatus.INTERNAL, /^Received RST_STREAM with code 2 /],
  [grpcStatus.RESOURCE_EXHAUSTED, /^Bandwidth exhausted or memory limit exceeded$/],
]);

function isLost({ code, details, metadata }: StatusObject): boolean {
  return lost.get(code)?.test(details) === true && Object.keys(metadata.getMap()).length === 0;
}

/**
 * Makes the error that a call ended with from its status: the code and the message, what the server
 * put into headers and trailers, and the messages in `grpc-status-details-bin`.
 *
 * @param header - the response headers; undefined for a response of trailers only
 * @internal
 */
export function errorFromStatus(status: StatusObject, header: Metadata | undefined): ConnectError {
  const known = isCode(status.code) ? status.code : Code.Unknown;
  const code = isLost(status) ? Code.Unavailable : known;
  const message = isCode(status.code) ? status.details : `status ${status.code}: ${status.details}`;
  const error = new ConnectError(message, code, toHeaders(header, status.metadata));
  const packed = status.metadata.get(detailsKey)[0];
  if (packed instanceof Uint8Array) {
    try {
      error.details = fromBinary(RpcStatusSchema, packed).details.map((any) => ({
        type: any.typeUrl.slice(any.typeUrl.lastIndexOf("/") + 1),
        value: any.value,
      }));
    } catch {
      // Details are an extra: a status with unreadable ones still says what failed.
    }
  }
  return error;
}

/**
 * Makes the error for a call that its own caller gave up.
 *
 * @internal
 */
export function errorFromAbort(signal: AbortSignal): ConnectError {
  const reason: unknown = signal.reason;
  if (reason instanceof ConnectError) return reason;
  const message = reason instanceof Error ? reason.message : String(reason);
  return new ConnectError(message, Code.Canceled, undefined, undefined, reason);
}
