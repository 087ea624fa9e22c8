/**
 * Changes on their way to the store's thread. While one transaction is written, what comes gathers for the next: a
 * disk that needs 5 ms to confirm takes one letter in that time, or a thousand.
 *
 * @module
 */

import { leatError } from "../errors.ts";
import type { Limits } from "../limits.ts";
import type { LetterTotals } from "./dead-letter-store.ts";
import type { Change } from "./store-calls.ts";
import type { StoreClient } from "./store-client.ts";

/** What a change counts beside its letters' bytes. */
const changeBytes = 256;

interface Waiting {
  readonly change: Change;
  readonly bytes: number;
  readonly transfer: readonly ArrayBuffer[];
  resolve(count: number): void;
  reject(error: unknown): void;
}

/** A bounded queue with one transaction under way. */
export class ChangeQueue {
  readonly #limits: Readonly<Limits>;
  readonly #client: StoreClient;
  readonly #onTotals: (totals: LetterTotals) => void;
  #waiting: Waiting[] = [];
  /** Of all that is waiting or being written. */
  #bytes = 0;
  #writing: Promise<void> | undefined;

  /** @param onTotals - is told what is kept after each transaction */
  constructor(limits: Readonly<Limits>, client: StoreClient, onTotals: (totals: LetterTotals) => void) {
    this.#limits = limits;
    this.#client = client;
    this.#onTotals = onTotals;
  }

  /**
   * Makes a change durable.
   *
   * @param bytes - what it holds in memory meanwhile
   * @returns how many letters it has added, removed or changed
   * @throws LeatError STORE_UNAVAILABLE, also when too much is waiting
   */
  push(change: Change, bytes: number, transfer: readonly ArrayBuffer[] = []): Promise<number> {
    const size = bytes + changeBytes;
    const { maxDeadLetterQueueBytes: limit } = this.#limits;
    // One change that is larger than the whole queue passes when it is alone.
    if (this.#bytes > 0 && this.#bytes + size > limit) {
      const problem = `too much waits to be written: measured ${this.#bytes + size}, the limit maxDeadLetterQueueBytes is ${limit}`;
      return Promise.reject(leatError("STORE_UNAVAILABLE", { problem }));
    }
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    this.#bytes += size;
    this.#waiting.push({ change, bytes: size, transfer, resolve, reject });
    this.#writing ??= this.#write();
    return promise;
  }

  /** Resolves when all is written. */
  async idle(): Promise<void> {
    await this.#writing;
  }

  async #write(): Promise<void> {
    // What else this turn of the event loop brings goes along.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const group = this.#next();
      const changes = group.map(({ change }) => change);
      const transfer = group.flatMap((waiting) => waiting.transfer);
      try {
        const { counts, totals } = await this.#client.call("change", { changes }, transfer);
        this.#onTotals(totals);
        for (const [index, { resolve }] of group.entries()) resolve(counts[index] ?? 0);
      } catch (error) {
        for (const { reject } of group) reject(error);
      }
      for (const { bytes } of group) this.#bytes -= bytes;
    }
    this.#writing = undefined;
  }

  /** As much as fits one transaction, and at least one change. */
  #next(): Waiting[] {
    let bytes = 0;
    let end = 0;
    for (const waiting of this.#waiting) {
      bytes += waiting.bytes;
      if (end > 0 && bytes > this.#limits.maxDeadLetterWriteBytes) break;
      end++;
    }
    const group = this.#waiting.slice(0, end);
    this.#waiting = this.#waiting.slice(end);
    return group;
  }
}
