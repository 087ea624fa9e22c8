import { create, toBinary } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { Metadata } from "@grpc/grpc-js";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema, RpcStatusSchema } from "@leat/proto";

/** Makes an error as the protocol wants it. */
export function protocolError(
  code: number,
  reason: string,
  message: string,
  extras: { metadata?: { [name: string]: string }; retryAfterMs?: number; field?: string } = {},
): { code: number; details: string; metadata: Metadata } {
  const details = [
    anyPack(
      ErrorInfoSchema,
      create(ErrorInfoSchema, { domain: "leat", reason, metadata: extras.metadata ?? {} }),
    ),
  ];
  if (extras.retryAfterMs !== undefined) {
    const retryDelay = { seconds: 0n, nanos: extras.retryAfterMs * 1e6 };
    details.push(anyPack(RetryInfoSchema, create(RetryInfoSchema, { retryDelay })));
  }
  if (extras.field !== undefined) {
    const fieldViolations = [{ field: extras.field, description: message }];
    details.push(anyPack(BadRequestSchema, create(BadRequestSchema, { fieldViolations })));
  }
  const metadata = new Metadata();
  const packed = toBinary(RpcStatusSchema, create(RpcStatusSchema, { code, message, details }));
  metadata.set("grpc-status-details-bin", Buffer.from(packed));
  metadata.set("x-trailer", "from-the-error");
  return { code, details: message, metadata };
}
