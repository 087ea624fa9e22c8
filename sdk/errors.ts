import { Code, ConnectError } from "@connectrpc/connect";
import type { BatchError } from "@leat/proto";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "@leat/proto";

/** What a {@link LeatCallError} is made from. */
interface LeatCallErrorInit {
  readonly code: Code;
  readonly reason?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly retryAfterMs?: number | undefined;
  readonly violations?: readonly FieldViolation[];
  readonly cause?: unknown;
}

/**
 * One field of a request that the server refused.
 *
 * @example
 * import { Leat, LeatCallError } from "@leat/sdk";
 *
 * await using leat = new Leat(process.env.LEAT_ADDRESS);
 * await leat.pipelines.putPipeline({ pipeline: { name: "NOT A NAME" } }).catch((error: unknown) => {
 *   const { violations } = LeatCallError.from(error);
 *   for (const { field, description } of violations) console.log(field, description);
 * });
 */
export interface FieldViolation {
  /** The field's path, as in `pipeline.stages[1].module`. */
  readonly field: string;
  /** What is wrong with it. */
  readonly description: string;
}

/**
 * A call to Leat that failed: the gRPC code, and what the server said about it for programs.
 * A record that failed is none of these: it is a value in a result.
 *
 * @example
 * import { Code, Leat, LeatCallError } from "@leat/sdk";
 *
 * await using leat = new Leat(process.env.LEAT_ADDRESS);
 * try {
 *   await leat.transform("no-such-pipeline", [{ value: "a" }]);
 * } catch (error) {
 *   if (!(error instanceof LeatCallError)) throw error;
 *   console.log(error.code === Code.NotFound, error.reason, error.metadata.pipeline);
 * }
 */
export class LeatCallError extends Error {
  override readonly name = "LeatCallError";
  /** The gRPC status code. */
  readonly code: Code;
  /** The stable reason, as in `docs/errors.md`; empty when the failure did not come from Leat itself. */
  readonly reason: string;
  /** What the message was made from, by name: the limit, the value, the module and so on. */
  readonly metadata: Readonly<Record<string, string>>;
  /** How long the server asks to wait before a retry, in milliseconds; undefined where a retry is of no use. */
  readonly retryAfterMs: number | undefined;
  /** The fields that were refused, where the request was at fault. */
  readonly violations: readonly FieldViolation[];

  /** @internal */
  constructor(message: string, init: LeatCallErrorInit) {
    super(message, init.cause === undefined ? undefined : { cause: init.cause });
    this.code = init.code;
    this.reason = init.reason ?? "";
    this.metadata = init.metadata ?? {};
    this.retryAfterMs = init.retryAfterMs;
    this.violations = init.violations ?? [];
  }

  /**
   * Turns anything that a call threw into a LeatCallError. The ConnectError stays as its `cause`,
   * with headers, trailers and all details; any other error becomes UNKNOWN, and is the cause itself.
   *
   * @example
   * import { Code, ConnectError, LeatCallError } from "@leat/sdk";
   *
   * const error = LeatCallError.from(new ConnectError("down for now", Code.Unavailable));
   * console.log(error.code === Code.Unavailable, error.message);
   */
  static from(thrown: unknown): LeatCallError {
    if (thrown instanceof LeatCallError) return thrown;
    const error = ConnectError.from(thrown);
    const info = error.findDetails(ErrorInfoSchema).find(({ domain }) => domain === "leat");
    const retryDelay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
    return new LeatCallError(error.rawMessage, {
      code: error.code,
      reason: info?.reason ?? "",
      metadata: info?.metadata ?? {},
      retryAfterMs: durationMs(retryDelay),
      violations: error
        .findDetails(BadRequestSchema)
        .flatMap((detail) => detail.fieldViolations)
        .map(({ field, description }) => ({ field, description })),
      cause: error,
    });
  }

  /**
   * The error of one batch of a stream, which the server answered in band.
   *
   * @internal
   */
  static fromBatch(error: BatchError): LeatCallError {
    const code = error.code in Code ? (error.code as Code) : Code.Unknown;
    return new LeatCallError(error.message, {
      code,
      reason: error.reason,
      retryAfterMs: durationMs(error.retryAfter),
    });
  }
}

/**
 * A protobuf duration in milliseconds.
 *
 * @internal
 */
export function durationMs(duration: { seconds: bigint; nanos: number } | undefined): number | undefined {
  return duration && Number(duration.seconds) * 1000 + duration.nanos / 1e6;
}
