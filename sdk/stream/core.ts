/**
 * The windowed, ordered, resuming stream under `Leat.stream` and the batcher.
 *
 * A batch has two numbers. Its *place* says when its result is delivered. Its *sequence* is its number
 * on the wire, where the protocol wants 1, 2, 3 and so on without a gap: a batch that the server asks
 * to send again later keeps its place and gets a new sequence. What was sent stays in `#slots`, in
 * sequence, until everything before it is answered as well; a new connection resumes after the last
 * slot that left, and sends the rest again under the same sequences. A number whose batch is answered,
 * or waits to go with another one, is sent with an empty batch instead: it keeps the count without a
 * gap, and runs nothing twice. Its answer finds no batch in its slot and is ignored: that is what makes
 * delivery exactly-once.
 *
 * Memory is bounded by the window: at most that many batches are taken from the source and not yet
 * given to the consumer.
 *
 * @module
 */

import type { Transport } from "@connectrpc/connect";
import { Code } from "@connectrpc/connect";
import type { StreamOpened } from "@leat/proto";
import type { Context } from "@opentelemetry/api";
import { LeatCallError } from "../errors.ts";
import type { BatchAnswer } from "../record/result.ts";
import type { TargetInput } from "../target.ts";
import { targetInit, targetName } from "../target.ts";
import { attributes, endSpan, startBatchSpan, traceparent } from "../tracing.ts";
import { spreadMs } from "../transport/retry.ts";
import type { BatchLimits, BatchSource, DeliveredBatch, Entry, OutgoingBatch, Slot } from "./batch.ts";
import { refuse } from "./batch.ts";
import type { ResolvedStreamOptions } from "./options.ts";
import { backoffMs, longestTimerMs } from "./options.ts";
import { interrupted } from "./retryable.ts";
import type { SessionEvents } from "./session.ts";
import { Session } from "./session.ts";

/** What a stream is made of. */
export interface StreamParts<Tag> {
  readonly transport: Transport;
  readonly target: TargetInput;
  readonly options: ResolvedStreamOptions;
  /** The context in which the stream was made: the parent of its batches' spans. */
  readonly context: Context;
  readonly source: BatchSource<Tag>;
  /** Takes each result, once, in order unless the options say otherwise. Must not throw. */
  readonly deliver: (batch: DeliveredBatch<Tag>) => void;
}

type State =
  | { readonly t: "idle" }
  | { readonly t: "waiting"; readonly timer: NodeJS.Timeout }
  | { readonly t: "connecting"; readonly session: Session }
  | { readonly t: "open"; readonly session: Session; readonly limits: StreamOpened; readonly sinceMs: number }
  | {
      readonly t: "draining";
      readonly session: Session;
      readonly lastSequence: number;
      readonly sinceMs: number;
    }
  | { readonly t: "finished" };

/** What a number is sent again with whose batch is not to run: a RecordBatch without records. */
const nothing = new Uint8Array();

/** See the top of the file. */
export class StreamCore<Tag> {
  readonly #parts: StreamParts<Tag>;
  readonly #done = Promise.withResolvers<void>();
  /** Refused, and waiting to be sent with another number. */
  readonly #refused = new Map<Entry<Tag>, NodeJS.Timeout>();
  /** Sent, or about to be, in sequence; the first one is not answered on this connection. */
  readonly #slots: Slot<Tag>[] = [];
  /** Waiting for a connection. */
  readonly #unsent: Entry<Tag>[] = [];
  /** In place order, not delivered; only for ordered streams. */
  readonly #places: Entry<Tag>[] = [];
  #state: State = { t: "idle" };
  #lastSequence = 0;
  #lastPlace = 0;
  #unanswered = 0;
  #held = 0;
  /** Connections in a row that ended without an answered batch. */
  #failures = 0;
  #pulling = false;
  #sourceEnd: { readonly error: unknown } | undefined;
  #deadline: NodeJS.Timeout | undefined;
  readonly #onAbort = (): void => this.fail(abortError(this.#parts.options.signal?.reason));

  constructor(parts: StreamParts<Tag>) {
    this.#parts = parts;
  }

  /**
   * Starts the stream.
   *
   * @returns a promise that resolves once the source has ended and every batch is delivered, and
   *   rejects with a LeatCallError, or with what the source threw, once no batch can be delivered any more
   */
  start(): Promise<void> {
    const { signal, deadlineMs } = this.#parts.options;
    if (this.#state.t === "finished") return this.#done.promise;
    if (signal?.aborted) {
      this.#onAbort();
      return this.#done.promise;
    }
    signal?.addEventListener("abort", this.#onAbort, { once: true });
    if (deadlineMs !== undefined) this.#keepDeadline(deadlineMs);
    this.#connect();
    return this.#done.promise;
  }

  #keepDeadline(deadlineMs: number): void {
    const leftMs = deadlineMs - performance.now();
    const isLast = leftMs <= longestTimerMs;
    const next = (): void => {
      if (isLast)
        this.fail(new LeatCallError("the stream's deadline passed", { code: Code.DeadlineExceeded }));
      else this.#keepDeadline(deadlineMs);
    };
    this.#deadline = setTimeout(next, isLast ? Math.max(0, leftMs) : longestTimerMs);
  }

  /** Makes room for one more batch: the consumer has taken a delivered one. */
  release(): void {
    this.#held--;
    this.#pull();
  }

  /** Ends the stream at once: with that error, or silently when the consumer wants no more. */
  fail(error: unknown): void {
    if (this.#state.t === "finished") return;
    if (this.#state.t === "waiting") clearTimeout(this.#state.timer);
    if (this.#state.t !== "idle" && this.#state.t !== "waiting") this.#state.session.cancel();
    const spanError = error === undefined ? abortError("the stream was ended") : LeatCallError.from(error);
    for (const { entry } of this.#slots) if (entry) endSpan(entry.span, spanError);
    for (const entry of this.#unsent) endSpan(entry.span, spanError);
    for (const entry of this.#refused.keys()) endSpan(entry.span, spanError);
    this.#finish();
    if (error === undefined) this.#done.resolve();
    else this.#done.reject(error);
  }

  #finish(): void {
    this.#state = { t: "finished" };
    clearTimeout(this.#deadline);
    for (const timer of this.#refused.values()) clearTimeout(timer);
    this.#parts.options.signal?.removeEventListener("abort", this.#onAbort);
    this.#slots.length = 0;
    this.#unsent.length = 0;
    this.#places.length = 0;
    this.#parts.source.close();
  }

  // ── Connecting ──

  #connect(): void {
    const { transport, target, options } = this.#parts;
    while (this.#slots[0] && this.#slots[0].entry === undefined) this.#slots.shift();
    const first = this.#slots[0];
    const open = {
      target: targetInit(target),
      streamId: options.streamId,
      unordered: options.unordered,
      window: Number.isFinite(options.window) ? options.window : 0,
      afterSequence: BigInt(first === undefined ? this.#lastSequence : first.sequence - 1),
    };
    const leftMs = options.deadlineMs === undefined ? Infinity : options.deadlineMs - performance.now();
    // A call is not to end before the stream: transports have timers, too.
    const timeoutMs = leftMs > longestTimerMs ? undefined : Math.max(1, leftMs);
    const events: SessionEvents = {
      onOpened: (limits) => this.#onOpened(session, limits),
      onAnswer: (sequence, answer) => this.#onAnswer(sequence, answer),
      onDraining: (lastSequence) => this.#onDraining(session, lastSequence),
      onEnd: (error) => this.#onEnd(error),
    };
    const session = new Session({ transport, open, headers: options.headers, timeoutMs }, events);
    this.#state = { t: "connecting", session };
  }

  #onOpened(session: Session, limits: StreamOpened): void {
    this.#state = { t: "open", session, limits, sinceMs: performance.now() };
    this.#resend(session, limits);
    this.#flush();
    this.#pull();
    this.#finishIfDone();
  }

  /** Sends again what was sent before the connection was lost, as far as it still has to run. */
  #resend(session: Session, limits: StreamOpened): void {
    const unfit: { readonly entry: Entry<Tag>; readonly error: LeatCallError }[] = [];
    for (const slot of this.#slots) {
      const { sequence, entry } = slot;
      slot.answered = false;
      const error = entry && refuse(entry.batch, limits);
      if (entry && error) {
        // The server behind this connection takes less than the one before.
        unfit.push({ entry, error });
        slot.entry = undefined;
      }
      if (slot.entry) {
        slot.entry.span.addEvent("leat.batch_resent");
        session.send(sequence, slot.entry.batch.bytes, slot.entry.traceparent);
      } else {
        session.send(sequence, nothing, "");
      }
    }
    for (const { entry, error } of unfit) this.#settle(entry, { t: "error", error });
  }

  #onDraining(session: Session, lastSequence: number): void {
    this.#state = { t: "draining", session, lastSequence, sinceMs: performance.now() };
    this.#halfCloseIfDrained();
  }

  /** Once the server has answered all that it took, nothing more can come of this call. */
  #halfCloseIfDrained(): void {
    if (this.#state.t !== "draining") return;
    const first = this.#slots[0];
    if (first === undefined || first.sequence > this.#state.lastSequence) this.#state.session.halfClose();
  }

  #onEnd(error: LeatCallError | undefined): void {
    const { reconnect } = this.#parts.options;
    const before = this.#state;
    if (before.t === "finished") return;
    if (error && !interrupted(error)) {
      this.fail(error);
      return;
    }
    const wasOpen = before.t === "open" || before.t === "draining";
    // A connection that held for long was a good one, even when there was nothing to answer.
    if (wasOpen && performance.now() - before.sinceMs > reconnect.maxMs) this.#failures = 0;
    this.#failures++;
    if (this.#failures > reconnect.maxAttempts) {
      const message = "the server ended the stream before all batches were answered";
      this.fail(error ?? new LeatCallError(message, { code: Code.Unavailable }));
      return;
    }
    const step = wasOpen ? this.#failures - 1 : this.#failures;
    const delayMs = Math.max(backoffMs(reconnect, step), spreadMs(error?.retryAfterMs ?? 0));
    this.#state = { t: "waiting", timer: setTimeout(() => this.#connect(), delayMs) };
  }

  // ── Sending ──

  #limits(limits: StreamOpened): BatchLimits {
    return { maxBatchBytes: limits.maxBatchBytes, maxBatchRecords: limits.maxBatchRecords };
  }

  /** Takes the next batch from the source, where there is room for it and a connection to send it on. */
  #pull(): void {
    if (this.#pulling || this.#sourceEnd || this.#state.t !== "open") return;
    const { limits } = this.#state;
    const window = Math.max(1, Math.min(this.#parts.options.window, limits.window));
    if (this.#held >= window || this.#slots.length >= window) return;
    this.#pulling = true;
    this.#parts.source.next(this.#limits(limits)).then(
      (batch) => {
        this.#pulling = false;
        if (this.#state.t === "finished") return;
        if (batch === undefined) this.#endSource(undefined);
        else this.#admit(batch);
        this.#pull();
      },
      (error: unknown) => this.#endSource(error),
    );
  }

  #admit(batch: OutgoingBatch<Tag>): void {
    const place = ++this.#lastPlace;
    const span = startBatchSpan(this.#parts.context, batch.links, {
      [attributes.target]: targetName(this.#parts.target),
      [attributes.streamId]: this.#parts.options.streamId,
      [attributes.sequence]: place,
      [attributes.recordsIn]: batch.count,
      [attributes.batchBytes]: batch.bytes.length,
    });
    const entry: Entry<Tag> = {
      place,
      batch,
      span,
      traceparent: traceparent(span),
      attempts: 0,
      answer: undefined,
    };
    this.#held++;
    this.#unanswered++;
    if (!this.#parts.options.unordered) this.#places.push(entry);
    this.#unsent.push(entry);
    this.#flush();
  }

  #flush(): void {
    while (this.#state.t === "open") {
      const entry = this.#unsent.shift();
      if (entry === undefined) return;
      const refusal = refuse(entry.batch, this.#state.limits);
      if (refusal) {
        this.#settle(entry, { t: "error", error: refusal });
        continue;
      }
      entry.attempts++;
      const sequence = ++this.#lastSequence;
      this.#slots.push({ sequence, entry, answered: false });
      this.#state.session.send(sequence, entry.batch.bytes, entry.traceparent);
    }
  }

  #endSource(error: unknown): void {
    this.#pulling = false;
    this.#sourceEnd = { error };
    this.#finishIfDone();
  }

  // ── Receiving ──

  #onAnswer(sequence: number, answer: BatchAnswer): void {
    const first = this.#slots[0];
    const slot = first && this.#slots[sequence - first.sequence];
    if (slot === undefined) {
      const message = `the server answered batch ${sequence}, which is not under way`;
      this.fail(new LeatCallError(message, { code: Code.Internal }));
      return;
    }
    const { entry } = slot;
    slot.entry = undefined;
    slot.answered = true;
    while (this.#slots[0]?.answered) this.#slots.shift();
    if (entry) {
      this.#failures = 0;
      if (answer.t === "error" && this.#resendLater(entry, answer.error)) return;
      this.#settle(entry, answer);
    }
    this.#halfCloseIfDrained();
    this.#pull();
  }

  /** Plans another try where the server says when it may help. */
  #resendLater(entry: Entry<Tag>, error: LeatCallError): boolean {
    if (error.retryAfterMs === undefined || entry.attempts >= this.#parts.options.maxBatchAttempts)
      return false;
    entry.span.addEvent("leat.batch_refused", { [attributes.errorType]: error.reason });
    const send = (): void => {
      this.#refused.delete(entry);
      this.#unsent.push(entry);
      this.#flush();
    };
    this.#refused.set(entry, setTimeout(send, spreadMs(error.retryAfterMs)));
    return true;
  }

  #settle(entry: Entry<Tag>, answer: BatchAnswer): void {
    entry.answer = answer;
    this.#unanswered--;
    endSpan(entry.span, answer.t === "error" ? answer.error : undefined);
    if (this.#parts.options.unordered) {
      this.#parts.deliver({ place: entry.place, batch: entry.batch, answer });
    } else {
      let next = this.#places[0];
      while (next?.answer) {
        this.#places.shift();
        this.#parts.deliver({ place: next.place, batch: next.batch, answer: next.answer });
        next = this.#places[0];
      }
    }
    this.#finishIfDone();
  }

  #finishIfDone(): void {
    if (this.#sourceEnd === undefined || this.#unanswered > 0 || this.#state.t === "finished") return;
    const { error } = this.#sourceEnd;
    if (error !== undefined) {
      this.fail(error);
      return;
    }
    if (this.#state.t === "waiting") clearTimeout(this.#state.timer);
    else if (this.#state.t !== "idle") this.#state.session.finish();
    this.#finish();
    this.#done.resolve();
  }
}

function abortError(cause: unknown): LeatCallError {
  const message = cause instanceof Error ? cause.message : String(cause);
  return new LeatCallError(message, { code: Code.Canceled, cause });
}
