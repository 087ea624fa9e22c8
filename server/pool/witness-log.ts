/**
 * What a worker's process was about to do when it was last heard of.
 *
 * @module
 */

import { witnessWords } from "../bridge/frames.ts";

const entryBytes = witnessWords * Int32Array.BYTES_PER_ELEMENT;

/** One entry, as the process wrote it: nothing of it is checked. */
export interface WitnessEntry {
  /** Counts the batches begun. */
  readonly begun: number;
  readonly slot: number;
  readonly stage: number;
  readonly record: number;
}

/** Keeps the last whole entry of the witness stream, however it comes. */
export class WitnessLog {
  #bytes: Buffer = Buffer.alloc(0);

  /** Takes a part of the stream. */
  push(chunk: Buffer): void {
    const bytes = Buffer.concat([this.#bytes, chunk]);
    // The last whole entry, and what has begun behind it.
    const whole = bytes.length - (bytes.length % entryBytes);
    this.#bytes = Buffer.from(bytes.subarray(Math.max(0, whole - entryBytes)));
  }

  /** The last whole entry. */
  get last(): WitnessEntry | undefined {
    if (this.#bytes.length < entryBytes) return undefined;
    const word = (index: number): number => this.#bytes.readInt32LE(index * Int32Array.BYTES_PER_ELEMENT);
    return { begun: word(0), slot: word(1), stage: word(2), record: word(3) };
  }
}
