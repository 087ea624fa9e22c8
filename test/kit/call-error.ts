/**
 * What a failed gRPC call says, with its details taken apart.
 *
 * @module
 */

import { fromBinary } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import type { ServiceError } from "@grpc/grpc-js";
import { status } from "@grpc/grpc-js";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema, RpcStatusSchema } from "@leat/proto";

/** A failed call. */
export interface CallFailure {
  /** The gRPC status by name. */
  readonly status: string;
  readonly message: string;
  /** From `google.rpc.ErrorInfo`. */
  readonly reason: string;
  readonly domain: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** From `google.rpc.RetryInfo`. */
  readonly retryAfterMs: number | undefined;
  /** From `google.rpc.BadRequest`. */
  readonly fields: readonly string[];
}

/** Takes an error of grpc-js apart. */
export function callFailure(error: ServiceError): CallFailure {
  const [packed] = error.metadata?.get("grpc-status-details-bin") ?? [];
  const details = packed instanceof Buffer ? fromBinary(RpcStatusSchema, packed).details : [];
  const find = <Schema extends Parameters<typeof anyUnpack>[1]>(schema: Schema) =>
    details.map((detail) => anyUnpack(detail, schema)).find((found) => found !== undefined);
  const info = find(ErrorInfoSchema);
  const delay = find(RetryInfoSchema)?.retryDelay;
  return {
    status: status[error.code],
    message: error.details,
    reason: info?.reason ?? "",
    domain: info?.domain ?? "",
    metadata: info?.metadata ?? {},
    retryAfterMs: delay === undefined ? undefined : Number(delay.seconds) * 1_000 + delay.nanos / 1e6,
    fields: find(BadRequestSchema)?.fieldViolations.map(({ field }) => field) ?? [],
  };
}

/** The failure of a call that must fail. Throws when it succeeds. */
export async function failureOf(call: Promise<unknown>): Promise<CallFailure> {
  let result: unknown;
  try {
    result = await call;
  } catch (error) {
    if (error instanceof Error && "metadata" in error && "details" in error)
      return callFailure(error as ServiceError);
    throw error;
  }
  throw new Error(
    `the call succeeded with ${JSON.stringify(result, (_, value) => (typeof value === "bigint" ? String(value) : value))}`,
  );
}
