/**
 * May this batch enter? Counts batches and bytes from admission to answer.
 *
 * @module
 */

import assert from "node:assert/strict";
import { leatError } from "../errors.ts";
import type { Limits } from "../limits.ts";
import type { AdmissionStats } from "../telemetry/stats.ts";

/** How long a refused caller is told to wait, in milliseconds. */
const retryAfterMs = 100;
/** The longest that it is told to wait. */
const maxRetryAfterMs = 10_000;
/**
 * The share of its time that a call may wait. The rest is for its run, for what it took to come here and takes to go back, which nobody
 * tells (a busy client or network may take hundreds of milliseconds), and for what the estimate is wrong by: work for an answer that comes too late is lost.
 */
const waitShare = 0.5;

/** The server's budget of batches and bytes. */
export class Admission {
  readonly #limits: Readonly<Limits>;
  readonly #stats: AdmissionStats;
  /** Streams that hold a batch back until there is room, in the order of their turns. */
  readonly #waiting = new Set<() => void>();

  constructor(limits: Readonly<Limits>, stats: AdmissionStats) {
    this.#limits = limits;
    this.#stats = stats;
    stats.limitBytes = limits.maxAdmittedBytes;
  }

  /** The limits have changed: who waits may find room. */
  limitsChanged(): void {
    this.#stats.limitBytes = this.#limits.maxAdmittedBytes;
    for (const callback of [...this.#waiting]) {
      this.#waiting.delete(callback);
      callback();
    }
  }

  /** Admits a batch if there is room; give it back with {@link release}. */
  tryAdmit(bytes: number): boolean {
    const stats = this.#stats;
    // A batch that a stream was told it may send fits alone, also when the limit has been lowered since.
    const crowded = stats.bytes + bytes > this.#limits.maxAdmittedBytes && stats.batches > 0;
    if (stats.batches >= this.#limits.maxAdmittedBatches || crowded) return false;
    stats.batches++;
    stats.bytes += bytes;
    return true;
  }

  /**
   * Admits a batch of a unary call.
   *
   * @throws LeatError QUEUE_FULL with the time after which to try again
   */
  admit(bytes: number): void {
    if (this.tryAdmit(bytes)) return;
    this.#stats.refused++;
    const full = this.#stats.batches >= this.#limits.maxAdmittedBatches;
    throw leatError(
      "QUEUE_FULL",
      full
        ? {
            limit: "maxAdmittedBatches",
            value: this.#limits.maxAdmittedBatches,
            measured: this.#stats.batches,
          }
        : {
            limit: "maxAdmittedBytes",
            value: this.#limits.maxAdmittedBytes,
            measured: this.#stats.bytes + bytes,
          },
      { retryAfterMs },
    );
  }

  /**
   * Refuses a unary call that would wait for too long, while refusing costs nobody anything.
   *
   * @param expectedMs - how long it would wait
   * @param leftMs - how long its caller waits; Infinity without a deadline
   * @throws LeatError QUEUE_TOO_LONG with the time after which to try again
   */
  checkWait(expectedMs: number, leftMs: number): void {
    const { maxQueueDelayMs } = this.#limits;
    const allowedMs = Math.min(maxQueueDelayMs, leftMs * waitShare);
    if (expectedMs <= allowedMs) return;
    this.#stats.refused++;
    throw leatError(
      "QUEUE_TOO_LONG",
      {
        limit: allowedMs < maxQueueDelayMs ? "half of the call's deadline" : "maxQueueDelayMs",
        value: Math.max(0, Math.round(allowedMs)),
        measured: Math.round(expectedMs),
      },
      { retryAfterMs: Math.min(maxRetryAfterMs, Math.max(retryAfterMs, Math.round(expectedMs - allowedMs))) },
    );
  }

  /** A batch was answered. */
  release(bytes: number): void {
    this.#stats.batches--;
    this.#stats.bytes -= bytes;
    assert(this.#stats.batches >= 0 && this.#stats.bytes >= 0, "more was released than admitted");
    if (this.#waiting.size === 0) return;
    const [next] = this.#waiting;
    if (next === undefined) return;
    this.#waiting.delete(next);
    next();
  }

  /** Calls back once when there may be room. It may be taken by then: try again. */
  whenRoom(callback: () => void): void {
    this.#waiting.add(callback);
  }

  /** Forgets a callback. */
  forget(callback: () => void): void {
    this.#waiting.delete(callback);
  }

  /** A stream opens. @throws LeatError TOO_MANY_STREAMS */
  openStream(): void {
    if (this.#stats.streams >= this.#limits.maxStreams) {
      throw leatError(
        "TOO_MANY_STREAMS",
        { limit: "maxStreams", value: this.#limits.maxStreams, measured: this.#stats.streams },
        { retryAfterMs },
      );
    }
    this.#stats.streams++;
  }

  /** A stream has ended. */
  closeStream(): void {
    this.#stats.streams--;
  }
}
