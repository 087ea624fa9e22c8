import { Code } from "@connectrpc/connect";
import type { Link } from "@opentelemetry/api";
import { LeatCallError } from "./errors.ts";
import { appendItem } from "./record/batch.ts";
import type { RecordMapper } from "./record/codec.ts";
import type { Outcome } from "./record/result.ts";
import { BatchResult } from "./record/result.ts";
import { BatchWriter } from "./record/writer.ts";
import type { BatchLimits, BatchSource, DeliveredBatch, OutgoingBatch } from "./stream/batch.ts";
import { longestTimerMs } from "./stream/options.ts";
import { linkActiveSpan } from "./tracing.ts";

/** What a server takes unless it says otherwise, which it does when the stream opens. */
const assumedMaxBatchBytes = 4 * 1024 * 1024;

/**
 * How a batcher gathers calls.
 *
 * @example
 * import { type BatcherOptions, Leat } from "@leat/sdk";
 *
 * const patient: BatcherOptions = { maxRecords: 1_000, maxDelayMs: 20 };
 * await using leat = new Leat(process.env.LEAT_ADDRESS);
 * await using batcher = leat.batcher("uppercase", patient);
 * console.log((await batcher.transform({ value: "a" })).status);
 */
export interface BatcherOptions {
  /** Send a batch when it has so many records. Default 250. */
  maxRecords?: number;
  /** Send a batch when it has so many bytes. Default 96 KiB. */
  maxBytes?: number;
  /** Send a batch that is not full so long after its first call; 0 sends it at the end of the event loop's turn. Default 1 ms. */
  maxDelayMs?: number;
  /** Batches under way at once. Default and bound: the server's window. */
  maxInFlight?: number;
  /** Calls that may wait for a batch to leave; further ones are refused. Default 100,000. */
  maxPending?: number;
}

/**
 * Options of one call to a batcher.
 *
 * @example
 * import { type BatcherCallOptions, Leat } from "@leat/sdk";
 *
 * const options: BatcherCallOptions = { signal: AbortSignal.timeout(1_000) };
 * await using leat = new Leat(process.env.LEAT_ADDRESS);
 * await using batcher = leat.batcher("uppercase");
 * console.log((await batcher.transform({ value: "a" }, options)).status);
 */
export interface BatcherCallOptions {
  /** Gives the call up. The record may run all the same. */
  signal?: AbortSignal;
}

interface Pending<Out> {
  readonly resolve: (outcome: Outcome<Out>) => void;
  readonly reject: (error: unknown) => void;
}

type Calls<Out> = Pending<Out>[];

/** How the batcher's stream is made; it makes a new one when the last has failed. */
export type OpenStream<Out> = (
  source: BatchSource<Calls<Out>>,
  deliver: (batch: DeliveredBatch<Calls<Out>>) => void,
) => BatcherStream;

/** A running stream, as the batcher sees it. */
export interface BatcherStream {
  start(): Promise<void>;
  release(): void;
  fail(error: unknown): void;
}

/**
 * Turns concurrent calls with one record each into batches on one stream. Made by `Leat.batcher`.
 *
 * @example
 * import { Leat, text } from "@leat/sdk";
 *
 * await using leat = new Leat(process.env.LEAT_ADDRESS);
 * await using batcher = leat.batcher("uppercase", { codec: text() });
 * const outcomes = await Promise.all(["a", "b", "c"].map((value) => batcher.transform(value)));
 * console.log(outcomes.map((outcome) => (outcome.status === "ok" ? outcome.outputs[0] : outcome.status)));
 */
export class Batcher<In, Out> {
  readonly #mapper: RecordMapper<In, Out>;
  readonly #open: OpenStream<Out>;
  readonly #source: CallSource<In, Out>;
  readonly #maxPending: number;
  #stream: { readonly core: BatcherStream; readonly done: Promise<void> } | undefined;
  readonly #closed = Promise.withResolvers<void>();
  #closing = false;

  /** @internal */
  constructor(mapper: RecordMapper<In, Out>, options: BatcherOptions, open: OpenStream<Out>) {
    this.#mapper = mapper;
    this.#open = open;
    this.#source = new CallSource(mapper, options);
    this.#maxPending = options.maxPending ?? 100_000;
  }

  /** How many calls wait for their batch to leave. */
  get pending(): number {
    return this.#source.pending;
  }

  /**
   * Sends one record with the next batch.
   *
   * @returns what became of the record: a failed record is a value, not an error
   * @throws LeatCallError when its batch could not be run, the batcher is full or closed, or the signal aborted
   * @throws EncodeError when the codec refuses the value
   */
  transform(item: In, options?: BatcherCallOptions): Promise<Outcome<Out>> {
    if (this.#closing) return Promise.reject(refused("the batcher is closed", Code.FailedPrecondition));
    if (this.#source.pending >= this.#maxPending) {
      const message = `the batcher is full: the limit maxPending is ${this.#maxPending}`;
      return Promise.reject(refused(message, Code.ResourceExhausted, "BATCHER_FULL"));
    }
    const { promise, resolve, reject } = Promise.withResolvers<Outcome<Out>>();
    const call = options?.signal ? abortable({ resolve, reject }, options.signal) : { resolve, reject };
    if (call) {
      this.#stream ??= this.#start();
      this.#source.add(item, call);
    }
    return promise;
  }

  /** Sends what waits, and resolves when every call is answered. Later calls are refused. */
  close(): Promise<void> {
    if (!this.#closing) {
      this.#closing = true;
      this.#source.end();
      (this.#stream?.done ?? Promise.resolve()).then(this.#closed.resolve);
    }
    return this.closed;
  }

  /** Resolves once the batcher is closed. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  /** As {@link close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #start(): { readonly core: BatcherStream; readonly done: Promise<void> } {
    const core = this.#open(this.#source, (delivered) => {
      core.release();
      this.#deliver(delivered);
    });
    const done = core.start().then(
      () => {},
      (error: unknown) => {
        // The next call gets a new stream, so a batcher outlives any outage.
        this.#stream = undefined;
        this.#source.rejectAll(error);
      },
    );
    return { core, done };
  }

  #deliver({ place, batch, answer }: DeliveredBatch<Calls<Out>>): void {
    const calls = batch.tag;
    this.#source.answered(calls);
    if (answer.t === "error") {
      for (const call of calls) call.reject(answer.error);
      return;
    }
    try {
      const { outcomes } = new BatchResult(place, [], calls.length, answer, this.#mapper);
      for (const [index, outcome] of outcomes.entries()) calls[index]?.resolve(outcome);
    } catch (error) {
      for (const call of calls) call.reject(error);
    }
  }
}

function refused(message: string, code: Code, reason = ""): LeatCallError {
  return new LeatCallError(message, { code, reason });
}

/** Makes the call end when the signal aborts; undefined when it has aborted already. */
function abortable<Out>(call: Pending<Out>, signal: AbortSignal): Pending<Out> | undefined {
  const abort = (): void => {
    const reason: unknown = signal.reason;
    const message = reason instanceof Error ? reason.message : String(reason);
    call.reject(new LeatCallError(message, { code: Code.Canceled, cause: reason }));
  };
  if (signal.aborted) {
    abort();
    return undefined;
  }
  signal.addEventListener("abort", abort, { once: true });
  return {
    resolve(outcome) {
      signal.removeEventListener("abort", abort);
      call.resolve(outcome);
    },
    reject(error) {
      signal.removeEventListener("abort", abort);
      call.reject(error);
    },
  };
}

interface Waiter<Out> {
  readonly resolve: (batch: OutgoingBatch<Calls<Out>> | undefined) => void;
}

/** Gathers calls into batches, and knows which calls have no answer yet. */
class CallSource<In, Out> implements BatchSource<Calls<Out>> {
  readonly #mapper: RecordMapper<In, Out>;
  readonly #maxRecords: number;
  readonly #maxBytes: number;
  readonly #maxDelayMs: number;
  readonly #writer = new BatchWriter();
  readonly #ready: OutgoingBatch<Calls<Out>>[] = [];
  readonly #inFlight = new Set<Calls<Out>>();
  readonly #onDelay = (): void => this.#flush();
  #calls: Calls<Out> = [];
  #links: Link[] | undefined;
  #readyRecords = 0;
  #waiter: Waiter<Out> | undefined;
  #limits: BatchLimits | undefined;
  #timer: NodeJS.Timeout | undefined;
  #immediate: NodeJS.Immediate | undefined;
  #ended = false;

  constructor(mapper: RecordMapper<In, Out>, options: BatcherOptions) {
    this.#mapper = mapper;
    this.#maxRecords = options.maxRecords ?? 250;
    this.#maxBytes = options.maxBytes ?? 96 * 1024;
    this.#maxDelayMs = Math.min(options.maxDelayMs ?? 1, longestTimerMs);
  }

  get pending(): number {
    return this.#calls.length + this.#readyRecords;
  }

  add(item: In, call: Pending<Out>): void {
    try {
      appendItem(this.#writer, this.#mapper, item, 0);
    } catch (error) {
      call.reject(error);
      return;
    }
    if (
      this.#writer.count > 1 &&
      this.#writer.sizeBytes > (this.#limits?.maxBatchBytes ?? assumedMaxBatchBytes)
    ) {
      this.#push(this.#writer.takeAllButLast(), this.#calls);
      this.#calls = [];
    }
    this.#calls.push(call);
    this.#links = linkActiveSpan(this.#links);
    if (this.#full()) this.#flush();
    else if (this.#calls.length === 1) this.#startDelay();
  }

  next(limits: BatchLimits): Promise<OutgoingBatch<Calls<Out>> | undefined> {
    this.#limits = limits;
    return new Promise((resolve) => {
      this.#waiter = { resolve };
      this.#serve();
    });
  }

  close(): void {
    this.#waiter = undefined;
  }

  /** No more calls will come. */
  end(): void {
    this.#ended = true;
    this.#flush();
    this.#serve();
  }

  answered(calls: Calls<Out>): void {
    this.#inFlight.delete(calls);
  }

  /** Rejects every call that has no answer. */
  rejectAll(error: unknown): void {
    this.#flush();
    const lost = [...this.#inFlight, ...this.#ready.splice(0).map(({ tag }) => tag)];
    this.#inFlight.clear();
    this.#readyRecords = 0;
    for (const call of lost.flat()) call.reject(error);
  }

  #full(): boolean {
    const maxRecords = Math.min(this.#maxRecords, this.#limits?.maxBatchRecords ?? this.#maxRecords);
    return this.#calls.length >= maxRecords || this.#writer.sizeBytes >= this.#maxBytes;
  }

  #startDelay(): void {
    if (this.#maxDelayMs > 0) this.#timer ??= setTimeout(this.#onDelay, this.#maxDelayMs);
    else this.#immediate ??= setImmediate(this.#onDelay);
  }

  #flush(): void {
    clearTimeout(this.#timer);
    clearImmediate(this.#immediate);
    this.#timer = undefined;
    this.#immediate = undefined;
    if (this.#calls.length === 0) return;
    this.#push(this.#writer.take(), this.#calls);
    this.#calls = [];
    this.#serve();
  }

  #push({ bytes, count }: { bytes: Uint8Array; count: number }, calls: Calls<Out>): void {
    this.#ready.push({ bytes, count, tag: calls, links: this.#links });
    this.#links = undefined;
    this.#readyRecords += count;
  }

  #serve(): void {
    const waiter = this.#waiter;
    if (waiter === undefined) return;
    const batch = this.#ready.shift();
    if (batch === undefined && !this.#ended) return;
    this.#waiter = undefined;
    if (batch) {
      this.#readyRecords -= batch.count;
      this.#inFlight.add(batch.tag);
    }
    waiter.resolve(batch);
  }
}
