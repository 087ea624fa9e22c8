/**
 * A slot's way between two memories of the same layout: what goes to the worker's process, and what comes back.
 *
 * ```
 * submit      slot │ pipeline │ segments │ exclusions │ length of each segment │ words of each exclusion │ input
 * completed   slot │ outcome … recordsFailed │ stages │ segments │ words of each stage │ words of each segment │
 *             times │ output of each segment
 * ```
 *
 * @module
 */

import type { SlotMemory } from "./channel.ts";
import { FrameError, FromChild, frameHeadBytes, newFrame, ToChild } from "./frames.ts";
import { Claim, ExclusionWord, Outcome, SegmentWord, Slot, StageWord, Transfer } from "./layout.ts";

const word = Int32Array.BYTES_PER_ELEMENT;
const time = Float64Array.BYTES_PER_ELEMENT;

/** Words of a slot that come back: from `outcome` to `recordsFailed`. */
const backWords = Slot.recordsFailed - Slot.outcome + 1;

/** Reads numbers of a payload one after the other, and never beyond it. */
export class PayloadReader {
  readonly payload: Buffer;
  position = 0;

  constructor(payload: Buffer) {
    this.payload = payload;
  }

  /** The next number. @throws FrameError at the end */
  int(): number {
    this.need(word);
    const value = this.payload.readInt32LE(this.position);
    this.position += word;
    return value;
  }

  /** The next time. @throws FrameError at the end */
  double(): number {
    this.need(time);
    const value = this.payload.readDoubleLE(this.position);
    this.position += time;
    return value;
  }

  /** The next number, which must be within `[0, max]`. @throws FrameError when it is not */
  count(max: number, what: string): number {
    const value = this.int();
    if (value < 0 || value > max) throw new FrameError(`${what} is ${value}, at most ${max} is expected`);
    return value;
  }

  /** @throws FrameError when there are not so many bytes left */
  need(bytes: number): void {
    if (this.payload.length - this.position < bytes) throw new FrameError("a frame that ends too early");
  }
}

/**
 * The frame for a slot that was written for the worker.
 *
 * @param transferred - its input, when that does not fit the slot
 */
export function submitFrame(memory: SlotMemory, slot: number, transferred: Uint8Array | undefined): Buffer {
  const { words } = memory;
  const base = memory.slot(slot);
  const segments = words[base + Slot.segments] as number;
  const exclusions = words[base + Slot.exclusions] as number;
  const inputBytes = words[base + Slot.inputLength] as number;
  const frame = newFrame(
    ToChild.submit,
    (4 + segments + exclusions * ExclusionWord.size) * word + inputBytes,
  );
  let position = frameHeadBytes;
  const put = (value: number): void => {
    position = frame.writeInt32LE(value, position);
  };
  put(slot);
  put(words[base + Slot.pipeline] as number);
  put(segments);
  put(exclusions);
  for (let segment = 0; segment < segments; segment++)
    put(words[memory.segment(slot, segment) + SegmentWord.length] as number);
  for (let index = 0; index < exclusions * ExclusionWord.size; index++)
    put(words[memory.exclusion(slot, 0) + index] as number);
  if (transferred !== undefined) frame.set(transferred, position);
  else memory.bytes.copy(frame, position, memory.inputStart(slot), memory.inputStart(slot) + inputBytes);
  return frame;
}

/** What {@link acceptSubmit} found. */
export interface Submitted {
  readonly slot: number;
  readonly pipeline: number;
  /** The input, when it does not fit the slot. */
  readonly transferred: Uint8Array<ArrayBuffer> | undefined;
}

/** Writes a slot into the worker's memory as it came in a frame. @throws FrameError */
export function acceptSubmit(memory: SlotMemory, payload: Buffer): Submitted {
  const { words, layout } = memory;
  const reader = new PayloadReader(payload);
  const slot = reader.count(layout.slots - 1, "the slot");
  const pipeline = reader.int();
  const segments = reader.count(layout.maxSegments, "the number of segments");
  const exclusions = reader.count(layout.maxExclusions, "the number of exclusions");
  const base = memory.slot(slot);
  for (let segment = 0; segment < segments; segment++)
    words[memory.segment(slot, segment) + SegmentWord.length] = reader.int();
  for (let index = 0; index < exclusions * ExclusionWord.size; index++)
    words[memory.exclusion(slot, 0) + index] = reader.int();
  const input = payload.subarray(reader.position);
  const transfer = input.length > layout.inputBytes;
  words[base + Slot.pipeline] = pipeline;
  words[base + Slot.inputLength] = input.length;
  words[base + Slot.segments] = segments;
  words[base + Slot.cancelled] = 0;
  words[base + Slot.exclusions] = exclusions;
  words[base + Slot.claim] = Claim.open;
  words[base + Slot.transfer] = transfer ? Transfer.input : Transfer.none;
  if (transfer) return { slot, pipeline, transferred: Uint8Array.from(input) };
  input.copy(memory.bytes, memory.inputStart(slot));
  return { slot, pipeline, transferred: undefined };
}

/**
 * The frame for a slot that the worker has completed.
 *
 * @param output - its results, when they did not fit the slot
 */
export function completedFrame(memory: SlotMemory, slot: number, output: Uint8Array | undefined): Buffer {
  const { words, times } = memory;
  const base = memory.slot(slot);
  const takenBack = words[base + Slot.claim] === Claim.takenBack;
  const stages = takenBack ? 0 : (words[base + Slot.stagesBegun] as number);
  // Where there is no result, the segments' words are those of an earlier one.
  const hasResult = !takenBack && words[base + Slot.outcome] === Outcome.result;
  const segments = hasResult ? (words[base + Slot.segments] as number) : 0;
  let outputBytes = 0;
  for (let segment = 0; segment < segments; segment++)
    outputBytes += words[memory.segment(slot, segment) + SegmentWord.outputLength] as number;
  const timeCount = 2 + 2 * stages;
  const wordCount = 3 + backWords + stages * StageWord.size + segments * SegmentWord.size;
  const frame = newFrame(FromChild.completed, wordCount * word + timeCount * time + outputBytes);
  let position = frameHeadBytes;
  const put = (value: number): void => {
    position = frame.writeInt32LE(value, position);
  };
  put(slot);
  for (let index = 0; index < backWords; index++) put(words[base + Slot.outcome + index] as number);
  put(stages);
  put(segments);
  for (let index = 0; index < stages * StageWord.size; index++)
    put(words[memory.stage(slot, 0) + index] as number);
  for (let index = 0; index < segments * SegmentWord.size; index++)
    put(words[memory.segment(slot, 0) + index] as number);
  for (let index = 0; index < timeCount; index++)
    position = frame.writeDoubleLE(times[memory.timesOf(slot) + index] as number, position);
  const source = output ?? memory.bytes;
  for (let segment = 0; segment < segments; segment++) {
    const entry = memory.segment(slot, segment);
    const start = words[entry + SegmentWord.outputStart] as number;
    const end = start + (words[entry + SegmentWord.outputLength] as number);
    frame.set(source.subarray(start, end), position);
    position += end - start;
  }
  return frame;
}
