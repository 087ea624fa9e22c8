/**
 * Both threads' view of the shared memory of {@link layoutFor}.
 *
 * @module
 */

import { Control, ExclusionWord, type Layout, SegmentWord, Slot, StageWord } from "./layout.ts";

/** The shared memory of one worker as typed arrays, with the arithmetic of the layout. */
export class SlotMemory {
  readonly layout: Layout;
  readonly shared: SharedArrayBuffer;
  /** Control words, rings and slot words. */
  readonly words: Int32Array;
  /** Times in milliseconds since the Unix epoch. */
  readonly times: Float64Array;
  /** Everything, as bytes: inputs and outputs are addressed in it. */
  readonly bytes: Buffer;

  constructor(layout: Layout, shared = new SharedArrayBuffer(layout.totalBytes)) {
    this.layout = layout;
    this.shared = shared;
    this.words = new Int32Array(shared, 0, layout.timesOffset / Int32Array.BYTES_PER_ELEMENT);
    this.times = new Float64Array(shared, layout.timesOffset, layout.slots * layout.slotTimes);
    this.bytes = Buffer.from(shared);
  }

  /** The index of a slot's first word. */
  slot(slot: number): number {
    return this.layout.slotWords + slot * this.layout.slotWordCount;
  }

  /** The index of the first word of a slot's stage. */
  stage(slot: number, stage: number): number {
    return this.slot(slot) + Slot.stages + stage * StageWord.size;
  }

  /** The index of the first word of a slot's segment. */
  segment(slot: number, segment: number): number {
    return this.slot(slot) + this.layout.segmentTable + segment * SegmentWord.size;
  }

  /** The index of the first word of a slot's exclusion. */
  exclusion(slot: number, exclusion: number): number {
    return this.slot(slot) + this.layout.exclusionTable + exclusion * ExclusionWord.size;
  }

  /** The index in `times` of a slot's begin; its end follows, then begin and end of each stage. */
  timesOf(slot: number): number {
    return slot * this.layout.slotTimes;
  }

  /** Where a slot's input begins in `bytes`. */
  inputStart(slot: number): number {
    return this.layout.dataOffset + slot * this.layout.slotBytes;
  }

  /** Where a slot's output begins in `bytes`. */
  outputStart(slot: number): number {
    return this.inputStart(slot) + this.layout.inputBytes;
  }
}

/** The writing end of a ring of slot numbers. */
export class RingWriter {
  readonly #words: Int32Array;
  readonly #ring: number;
  readonly #mask: number;
  readonly #counter: number;

  constructor(memory: SlotMemory, ring: "submit" | "complete") {
    this.#words = memory.words;
    this.#ring = ring === "submit" ? memory.layout.submitRing : memory.layout.completeRing;
    this.#counter = ring === "submit" ? Control.submitted : Control.completed;
    this.#mask = memory.layout.slots - 1;
  }

  /** Adds a slot. What was written to the slot before is visible to the reader of the ring. */
  push(slot: number): void {
    const count = this.#words[this.#counter] as number;
    this.#words[this.#ring + (count & this.#mask)] = slot;
    Atomics.store(this.#words, this.#counter, (count + 1) | 0);
  }
}

/** The reading end of a ring of slot numbers. */
export class RingReader {
  readonly #words: Int32Array;
  readonly #ring: number;
  readonly #mask: number;
  readonly #counter: number;
  #read = 0;

  constructor(memory: SlotMemory, ring: "submit" | "complete") {
    this.#words = memory.words;
    this.#ring = ring === "submit" ? memory.layout.submitRing : memory.layout.completeRing;
    this.#counter = ring === "submit" ? Control.submitted : Control.completed;
    this.#mask = memory.layout.slots - 1;
  }

  /** Whether a slot can be taken. */
  get ready(): boolean {
    return Atomics.load(this.#words, this.#counter) !== this.#read;
  }

  /** Takes the next slot, or -1. */
  take(): number {
    if (!this.ready) return -1;
    const slot = this.#words[this.#ring + (this.#read & this.#mask)] as number;
    this.#read = (this.#read + 1) | 0;
    return slot;
  }
}
