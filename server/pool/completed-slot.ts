/**
 * Takes a slot that a process of its own says it has completed. Nothing in the frame is believed: the process may have
 * been taken over by its guest.
 *
 * @module
 */

import type { SlotMemory } from "../bridge/channel.ts";
import { FrameError } from "../bridge/frames.ts";
import { Outcome, outputHeadroomBytes, SegmentWord, Slot, StageWord, Transfer } from "../bridge/layout.ts";
import type { PayloadReader } from "../bridge/slot-frames.ts";
import type { Limits } from "../limits.ts";
import { walkBatch } from "../record/batch.ts";
import { ResultTooLargeError, ResultView, readOutgoing } from "../record/result.ts";
import { Cursor, WireError } from "../record/wire.ts";

/** Words of a slot that come back: from `outcome` to `recordsFailed`. */
const backWords = Slot.recordsFailed - Slot.outcome + 1;

/** What is known of a slot that was sent, to check what comes back for it. */
export interface SentSlot {
  readonly stages: number;
  readonly segments: number;
  /** The input; it lies in the slot where it fits, else here. */
  readonly transferred: Uint8Array | undefined;
  readonly submittedMs: number;
  /** How long it may take, in milliseconds, once those before it have completed. */
  readonly answerWithinMs: number;
  /** Whether it was asked back since. */
  recalled: boolean;
  /** Whether its failures were told. */
  reported: boolean;
}

/** Checks completed slots and writes them into the memory of the server's side. */
export class CompletedSlots {
  readonly #memory: SlotMemory;
  readonly #limits: Readonly<Limits>;
  readonly #cursor = new Cursor();
  readonly #view = new ResultView();

  constructor(memory: SlotMemory, limits: Readonly<Limits>) {
    this.#memory = memory;
    this.#limits = limits;
  }

  /**
   * @param reader - behind the slot's number
   * @returns the results, when they do not fit the slot
   * @throws FrameError when what came cannot be the outcome of what was sent
   */
  accept(
    slot: number,
    reader: PayloadReader,
    sent: SentSlot,
    nowMs: number,
  ): Uint8Array<ArrayBuffer> | undefined {
    const { words } = this.#memory;
    const base = this.#memory.slot(slot);
    for (let index = 0; index < backWords; index++) words[base + Slot.outcome + index] = reader.int();
    const outcome = words[base + Slot.outcome] as number;
    if (outcome < Outcome.result || outcome > Outcome.uncompiled)
      throw new FrameError(`no outcome: ${outcome}`);
    if (outcome === Outcome.apart && sent.segments === 1)
      throw new FrameError("one call alone is said to ask for more than several may");
    const stages = reader.count(sent.stages, "the number of stages");
    const segments = reader.count(sent.segments, "the number of segments");
    if (segments !== (outcome === Outcome.result ? sent.segments : 0))
      throw new FrameError(`${segments} segments for outcome ${outcome}`);
    words[base + Slot.stagesBegun] = stages;
    for (const counted of [Slot.recordsIn, Slot.recordsOut, Slot.recordsFailed])
      words[base + counted] = Math.max(0, words[base + counted] as number);
    for (let index = 0; index < stages * StageWord.size; index++)
      words[this.#memory.stage(slot, 0) + index] = Math.max(0, reader.int());
    for (let index = 0; index < segments * SegmentWord.size; index++) {
      // The lengths of the inputs are ours.
      const value = Math.max(0, reader.int());
      if (index % SegmentWord.size !== SegmentWord.length)
        words[this.#memory.segment(slot, 0) + index] = value;
    }
    this.#times(slot, reader, stages, sent.submittedMs, nowMs);
    return this.#outputs(slot, reader, segments, sent);
  }

  /** Times within those that we know; what else is said is not worth an error. */
  #times(slot: number, reader: PayloadReader, stages: number, fromMs: number, toMs: number): void {
    const at = this.#memory.timesOf(slot);
    for (let index = 0; index < 2 + 2 * stages; index++) {
      const value = reader.double();
      this.#memory.times[at + index] = value >= fromMs && value <= toMs ? value : toMs;
    }
  }

  #outputs(
    slot: number,
    reader: PayloadReader,
    segments: number,
    sent: SentSlot,
  ): Uint8Array<ArrayBuffer> | undefined {
    const { layout, words, bytes } = this.#memory;
    const base = this.#memory.slot(slot);
    const left = reader.payload.length - reader.position;
    const total = left + segments * outputHeadroomBytes;
    const transfer = total > layout.outputBytes;
    words[base + Slot.transfer] = transfer ? Transfer.output : Transfer.none;
    const target = transfer ? Buffer.from(new ArrayBuffer(total)) : bytes;
    let position = transfer ? 0 : this.#memory.outputStart(slot);
    let input = sent.transferred === undefined ? this.#memory.inputStart(slot) : 0;
    for (let segment = 0; segment < segments; segment++) {
      const entry = this.#memory.segment(slot, segment);
      const length = words[entry + SegmentWord.outputLength] as number;
      reader.need(length);
      position += outputHeadroomBytes;
      reader.payload.copy(target, position, reader.position, reader.position + length);
      words[entry + SegmentWord.outputStart] = position;
      this.#checkResult(entry, target, position, input, sent.transferred ?? bytes);
      input += words[entry + SegmentWord.length] as number;
      position += length;
      reader.position += length;
    }
    if (reader.position !== reader.payload.length) throw new FrameError("a frame that does not end");
    return transfer ? (target as Buffer<ArrayBuffer>) : undefined;
  }

  /** Every input of the call must be accounted for, in a result that any client can read. */
  #checkResult(entry: number, output: Uint8Array, at: number, input: number, inputs: Uint8Array): void {
    const { words } = this.#memory;
    try {
      this.#cursor.reset(inputs, input, input + (words[entry + SegmentWord.length] as number));
      const records = walkBatch(this.#cursor);
      this.#cursor.reset(output, at, at + (words[entry + SegmentWord.outputLength] as number));
      readOutgoing(this.#cursor, records, this.#limits, this.#view);
      words[entry + SegmentWord.recordsIn] = records;
      words[entry + SegmentWord.recordsOut] = this.#view.records;
      words[entry + SegmentWord.recordsFailed] = this.#view.failures.length;
    } catch (error) {
      if (error instanceof WireError || error instanceof ResultTooLargeError)
        throw new FrameError(`no result: ${error.message}`);
      throw error;
    }
  }
}
