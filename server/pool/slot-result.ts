/**
 * The results of a completed crossing, in the worker's shared memory.
 *
 * @module
 */

import type { SlotMemory } from "../bridge/channel.ts";
import { SegmentWord } from "../bridge/layout.ts";
import type { BatchResult } from "./batch-job.ts";

/** Gives the slot back when the last of its results was released. */
export class SlotLease {
  #users: number;
  readonly #free: () => void;

  readonly #scarce: () => boolean;

  constructor(users: number, free: () => void, scarce: () => boolean) {
    this.#users = users;
    this.#free = free;
    this.#scarce = scarce;
  }

  get scarce(): boolean {
    return this.#scarce();
  }

  release(): void {
    this.#users--;
    if (this.#users < 0) throw new Error("a result was released twice");
    if (this.#users === 0) this.#free();
  }
}

/** One segment's result. */
export class SegmentResult implements BatchResult {
  readonly bytes: Buffer;
  readonly start: number;
  readonly length: number;
  readonly recordsIn: number;
  readonly recordsOut: number;
  readonly recordsFailed: number;
  readonly #lease: SlotLease;

  /**
   * @param output - where the results lie when they did not fit the slot
   */
  constructor(
    memory: SlotMemory,
    slot: number,
    segment: number,
    output: Buffer | undefined,
    lease: SlotLease,
  ) {
    const { words } = memory;
    const entry = memory.segment(slot, segment);
    this.bytes = output ?? memory.bytes;
    this.start = words[entry + SegmentWord.outputStart] as number;
    this.length = words[entry + SegmentWord.outputLength] as number;
    this.recordsIn = words[entry + SegmentWord.recordsIn] as number;
    this.recordsOut = words[entry + SegmentWord.recordsOut] as number;
    this.recordsFailed = words[entry + SegmentWord.recordsFailed] as number;
    this.#lease = lease;
  }

  get scarce(): boolean {
    return this.#lease.scarce;
  }

  release(): void {
    this.#lease.release();
  }
}
