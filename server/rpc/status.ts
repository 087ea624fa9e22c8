/**
 * Turns errors of the catalogue into what the two doors send. The only file that knows status codes.
 *
 * @module
 */

import { create, toBinary } from "@bufbuild/protobuf";
import { anyPack, durationFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { Metadata, type StatusObject, status } from "@grpc/grpc-js";
import {
  BadRequestSchema,
  type BatchError,
  BatchErrorSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
  RpcStatusSchema,
} from "@leat/proto";
import { LeatError, type StatusName } from "../errors.ts";

/** Who defines the reasons in `google.rpc.ErrorInfo`. */
export const errorDomain = "leat";

const codes: Readonly<Record<StatusName, number>> = status;

const connectCodes: Readonly<Record<StatusName, Code>> = {
  CANCELLED: Code.Canceled,
  INVALID_ARGUMENT: Code.InvalidArgument,
  DEADLINE_EXCEEDED: Code.DeadlineExceeded,
  NOT_FOUND: Code.NotFound,
  ALREADY_EXISTS: Code.AlreadyExists,
  ABORTED: Code.Aborted,
  RESOURCE_EXHAUSTED: Code.ResourceExhausted,
  FAILED_PRECONDITION: Code.FailedPrecondition,
  UNAVAILABLE: Code.Unavailable,
  UNAUTHENTICATED: Code.Unauthenticated,
  PERMISSION_DENIED: Code.PermissionDenied,
  INTERNAL: Code.Internal,
};

/**
 * Characters of one text in a status. Texts may quote what a caller sent, and a status travels in headers: HTTP/2 closes
 * the whole connection for headers that are too large.
 */
const maxTextLength = 1_000;

function cut(text: string): string {
  return text.length > maxTextLength ? `${text.slice(0, maxTextLength)}…`.toWellFormed() : text;
}

function details(error: LeatError) {
  const { reason, retryAfterMs } = error;
  const metadata = Object.fromEntries(
    Object.entries(error.metadata).map(([name, text]) => [name, cut(text)]),
  );
  // `internal` problems are for the log, not for the client.
  const shown = reason === "INTERNAL" ? {} : metadata;
  const field = metadata["field"];
  return {
    info: create(ErrorInfoSchema, { reason, domain: errorDomain, metadata: shown }),
    badRequest:
      field === undefined
        ? undefined
        : create(BadRequestSchema, {
            fieldViolations: [{ field, description: metadata["problem"] ?? cut(error.message) }],
          }),
    retry:
      retryAfterMs === undefined
        ? undefined
        : create(RetryInfoSchema, { retryDelay: durationFromMs(retryAfterMs) }),
  };
}

/** What the caller reads. An internal error's problem stays in the server's log. */
function publicMessage(error: LeatError): string {
  return error.reason === "INTERNAL" ? "internal error; the server's log tells more" : cut(error.message);
}

/** Takes errors that are the server's own fault, with their cause. */
export type InternalErrorLog = (error: LeatError) => void;

/** Maps errors for both doors. What is the server's own fault is logged, since the caller is not told. */
export class Statuses {
  readonly #log: InternalErrorLog;

  constructor(log: InternalErrorLog) {
    this.#log = log;
  }

  /** The status of a failed grpc-js call, with details in `grpc-status-details-bin`. */
  grpc(thrown: unknown): Pick<StatusObject, "code" | "details" | "metadata"> {
    const error = this.#from(thrown);
    const { info, badRequest, retry } = details(error);
    const packed = [anyPack(ErrorInfoSchema, info)];
    if (badRequest !== undefined) packed.push(anyPack(BadRequestSchema, badRequest));
    if (retry !== undefined) packed.push(anyPack(RetryInfoSchema, retry));
    const message = publicMessage(error);
    const rpcStatus = create(RpcStatusSchema, { code: codes[error.status], message, details: packed });
    const metadata = new Metadata();
    metadata.set("grpc-status-details-bin", Buffer.from(toBinary(RpcStatusSchema, rpcStatus)));
    return { code: codes[error.status], details: message, metadata };
  }

  /** The error that a Connect handler throws. */
  connect(thrown: unknown): ConnectError {
    if (thrown instanceof ConnectError) return thrown;
    const error = this.#from(thrown);
    const { info, badRequest, retry } = details(error);
    const outgoing: ConstructorParameters<typeof ConnectError>[3] = [{ desc: ErrorInfoSchema, value: info }];
    if (badRequest !== undefined) outgoing.push({ desc: BadRequestSchema, value: badRequest });
    if (retry !== undefined) outgoing.push({ desc: RetryInfoSchema, value: retry });
    return new ConnectError(publicMessage(error), connectCodes[error.status], undefined, outgoing, error);
  }

  /** The error as a stream carries it in band. */
  inBand(thrown: LeatError): BatchError {
    const error = this.#from(thrown);
    const message = create(BatchErrorSchema, {
      code: codes[error.status],
      reason: error.reason,
      message: publicMessage(error),
    });
    if (error.retryAfterMs !== undefined) message.retryAfter = durationFromMs(error.retryAfterMs);
    return message;
  }

  #from(thrown: unknown): LeatError {
    const error = LeatError.from(thrown);
    if (error.reason === "INTERNAL") this.#log(error);
    return error;
  }
}
