/**
 * The main thread's side of the crash ledger: makes the file, gives each worker its row, and writes row 0.
 *
 * @module
 */

import { closeSync, openSync, writeSync } from "node:fs";
import { encodeHeader, encodeRow, type LedgerSeat, rowBytesFor, rowOffset } from "./ledger-format.ts";

/** An open crash ledger. */
export class LedgerRows {
  readonly #file: number;
  readonly #rowBytes: number;
  readonly #taken = new Set<number>();
  readonly #compiling = new Map<string, number>();
  readonly #lane = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
  #closed = false;

  /**
   * @param path - where to make the file; what was there is replaced
   * @param maxDigests - how many modules a row can name
   */
  constructor(path: string, maxDigests: number) {
    this.#rowBytes = rowBytesFor(maxDigests);
    this.#file = openSync(path, "w+", 0o600);
    writeSync(this.#file, encodeHeader(this.#rowBytes), 0, undefined, 0);
  }

  /** Gives a worker that starts a row of its own. */
  take(): LedgerSeat {
    let row = 1;
    while (this.#taken.has(row)) row++;
    this.#taken.add(row);
    return { file: this.#file, row, rowBytes: this.#rowBytes, lane: this.#lane };
  }

  /** A worker has ended: what its row said is history, and another may have the lane. */
  free({ row }: LedgerSeat): void {
    this.#write(row, []);
    this.#taken.delete(row);
    const lane = new Int32Array(this.#lane);
    if (Atomics.compareExchange(lane, 0, row, 0) === row) Atomics.notify(lane, 0);
  }

  /** Names a module in row 0 for as long as the promise is pending. */
  async whileCompiling<T>(digest: string, compile: () => Promise<T>): Promise<T> {
    this.#compiling.set(digest, (this.#compiling.get(digest) ?? 0) + 1);
    this.#writeCompiling();
    try {
      return await compile();
    } finally {
      const left = (this.#compiling.get(digest) ?? 1) - 1;
      if (left === 0) this.#compiling.delete(digest);
      else this.#compiling.set(digest, left);
      this.#writeCompiling();
    }
  }

  /** Closes the file. Workers must have ended. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.#file);
  }

  #writeCompiling(): void {
    this.#write(0, [...this.#compiling.keys()]);
  }

  #write(row: number, digests: readonly string[]): void {
    if (this.#closed) return;
    writeSync(
      this.#file,
      encodeRow(digests, true, this.#rowBytes),
      0,
      undefined,
      rowOffset(row, this.#rowBytes),
    );
  }
}
