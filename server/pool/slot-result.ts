/**
 * The results of a completed crossing, in the worker's shared memory.
 *
 * @module
 */

import { SegmentWord } from "../bridge/layout.ts";
import type { BatchResult } from "./batch-job.ts";
import type { WorkerHandle } from "./worker-handle.ts";

/** One segment's result. */
export class SegmentResult implements BatchResult {
  readonly bytes: Buffer;
  readonly start: number;
  readonly length: number;
  readonly recordsIn: number;
  readonly recordsOut: number;
  readonly recordsFailed: number;
  readonly #worker: WorkerHandle;
  readonly #slot: number;

  /**
   * @param output - where the results lie when they did not fit the slot
   */
  constructor(worker: WorkerHandle, slot: number, segment: number, output: Buffer | undefined) {
    const { memory } = worker;
    const { words } = memory;
    const entry = memory.segment(slot, segment);
    this.bytes = output ?? memory.bytes;
    this.start = words[entry + SegmentWord.outputStart] as number;
    this.length = words[entry + SegmentWord.outputLength] as number;
    this.recordsIn = words[entry + SegmentWord.recordsIn] as number;
    this.recordsOut = words[entry + SegmentWord.recordsOut] as number;
    this.recordsFailed = words[entry + SegmentWord.recordsFailed] as number;
    this.#worker = worker;
    this.#slot = slot;
  }

  get scarce(): boolean {
    return this.#worker.slotsAreScarce;
  }

  release(): void {
    this.#worker.releaseSlot(this.#slot);
  }
}
