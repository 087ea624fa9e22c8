/**
 * How a stream gets its connection back.
 *
 * @example
 * import { Leat, type ReconnectOptions } from "@leat/sdk";
 *
 * const reconnect: ReconnectOptions = { maxAttempts: 100, initialMs: 50, maxMs: 2_000 };
 * await using leat = new Leat(process.env.LEAT_ADDRESS);
 * await Array.fromAsync(leat.stream("uppercase", [{ value: "a" }], { reconnect }));
 */
export interface ReconnectOptions {
  /** New tries in a row without any batch answered in between. Default 10; 0 gives up at once. */
  maxAttempts?: number;
  /** The first wait; each further one in a row is twice as long. A connection that was good is tried again at once. Default 100 ms. */
  initialMs?: number;
  /** The longest wait. Default 5,000 ms. */
  maxMs?: number;
}

/**
 * What any stream may be told.
 *
 * @example
 * import { Leat, type StreamOptions } from "@leat/sdk";
 *
 * const options: StreamOptions = { window: 8, unordered: true, signal: AbortSignal.timeout(60_000) };
 * await using leat = new Leat(process.env.LEAT_ADDRESS);
 * await Array.fromAsync(leat.stream("uppercase", [{ value: "a" }], options));
 */
export interface StreamOptions {
  /** Ends the stream. */
  signal?: AbortSignal;
  /** Ends the stream after so many milliseconds. Default, as Infinity: never. */
  timeoutMs?: number;
  /** gRPC metadata for the call that carries the stream. */
  headers?: Record<string, string>;
  /** How many batches may be under way at once: sent, or answered and not yet taken. Default and bound: the server's. */
  window?: number;
  /** Take results as they are ready instead of in order. Default false. */
  unordered?: boolean;
  /** How to reconnect. */
  reconnect?: ReconnectOptions;
  /** How often to send one batch that the server answered with an error and a time to wait. Default 8. */
  maxBatchAttempts?: number;
  /**
   * Names the stream across reconnects: a record that is the same at the same place of a stream of this name makes no second dead letter.
   * A name of its own for each stream keeps equal records of different ones apart. Default: a random name. At most 128 bytes.
   */
  streamId?: string;
}

/**
 * How single records are gathered into batches.
 *
 * @example
 * import { type BatchingOptions, Leat } from "@leat/sdk";
 *
 * const batching: BatchingOptions = { batchRecords: 100, lingerMs: 50 };
 * await using leat = new Leat(process.env.LEAT_ADDRESS);
 * await Array.fromAsync(leat.stream("uppercase", [{ value: "a" }], batching));
 */
export interface BatchingOptions {
  /** Send a batch when it has so many records. Default 1,000, and at most what the server takes. */
  batchRecords?: number;
  /** Send a batch when it has so many bytes. Default 96 KiB, which the server moves fastest. */
  batchBytes?: number;
  /** Send a batch that is not full when its source has been quiet for so long. Default 5 ms. */
  lingerMs?: number;
}

/** {@link StreamOptions}, complete. */
export interface ResolvedStreamOptions {
  readonly signal: AbortSignal | undefined;
  readonly deadlineMs: number | undefined;
  readonly headers: Record<string, string> | undefined;
  readonly window: number;
  readonly unordered: boolean;
  readonly reconnect: Readonly<Required<ReconnectOptions>>;
  readonly maxBatchAttempts: number;
  readonly streamId: string;
}

/** {@link BatchingOptions}, complete. */
export interface ResolvedBatchingOptions {
  readonly batchRecords: number;
  readonly batchBytes: number;
  readonly lingerMs: number;
}

/** The longest time that a timer of Node's waits, in milliseconds: 25 days. With a longer one it is due at once. */
export const longestTimerMs = 2 ** 31 - 1;

/** @throws RangeError for an option below what it may be */
export function atLeast(name: string, value: number, minimum: number): number {
  if (value >= minimum) return value;
  throw new RangeError(`${name} is ${value}; it must be at least ${minimum}`);
}

/**
 * Completes the options.
 *
 * @throws RangeError for a number out of range
 */
export function resolveStreamOptions(options: StreamOptions): ResolvedStreamOptions {
  const { reconnect = {}, timeoutMs } = options;
  return {
    signal: options.signal,
    deadlineMs: timeoutMs === undefined || timeoutMs === Infinity ? undefined : performance.now() + timeoutMs,
    headers: options.headers,
    window: atLeast("window", options.window ?? Number.POSITIVE_INFINITY, 1),
    unordered: options.unordered ?? false,
    reconnect: {
      maxAttempts: atLeast("reconnect.maxAttempts", reconnect.maxAttempts ?? 10, 0),
      initialMs: atLeast("reconnect.initialMs", reconnect.initialMs ?? 100, 0),
      maxMs: atLeast("reconnect.maxMs", reconnect.maxMs ?? 5_000, 0),
    },
    maxBatchAttempts: atLeast("maxBatchAttempts", options.maxBatchAttempts ?? 8, 1),
    streamId: options.streamId ?? crypto.randomUUID(),
  };
}

/**
 * Completes the options.
 *
 * @throws RangeError for a number out of range
 */
export function resolveBatchingOptions(options: BatchingOptions): ResolvedBatchingOptions {
  return {
    batchRecords: atLeast("batchRecords", options.batchRecords ?? 1_000, 1),
    batchBytes: atLeast("batchBytes", options.batchBytes ?? 96 * 1024, 1),
    lingerMs: atLeast("lingerMs", options.lingerMs ?? 5, 0),
  };
}

/**
 * The wait before a try, between half of the exponential back-off and all of it, so that clients that
 * lost the same server do not come back at the same moment.
 *
 * @param step - 0 for a try that need not wait, 1 for the shortest wait, and so on
 */
export function backoffMs(options: Readonly<Required<ReconnectOptions>>, step: number): number {
  if (step === 0) return 0;
  const full = Math.min(options.maxMs, options.initialMs * 2 ** (step - 1));
  return full * (0.5 + Math.random() / 2);
}
