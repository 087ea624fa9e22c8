/**
 * Takes the records out of a batch for which a stage's condition holds, and puts what became of them back among
 * those that passed the stage by, at their places.
 *
 * @module
 */

import { copyBytes } from "../record/copy.ts";
import { roomFor } from "../record/result.ts";
import { Cursor } from "../record/wire.ts";
import type { Condition } from "./condition.ts";
import type { StageInput, StageOutput } from "./stage-io.ts";

/** What one stage of a batch runs. Reused from stage to stage by all pipelines of a worker; allocates only to grow. */
export class Selection {
  /** Outputs of each record of the whole batch, after {@link merge}. */
  fanout = new Uint32Array(0);
  /** Where the merged batch lies, after {@link merge}: until the merge after the next. */
  bytes: Uint8Array = nothing;
  /** How long it is. */
  end = 0;
  /** Its records. */
  records = 0;
  /** Bytes of the records that pass the stage by, after {@link gather}. */
  besideBytes = 0;
  readonly #maxKeptBytes: number;
  readonly #cursor = new Cursor();
  /** Where each record's tag begins, and the end. */
  #starts = new Uint32Array(0);
  /** 1 for each record that is run. */
  #chosen = new Uint8Array(0);
  #gathered: Uint8Array = nothing;
  #merged: Uint8Array = nothing;
  /** The merged batch of the stage before, which may be what this stage's is made from. */
  #mergedBefore: Uint8Array = nothing;

  /** @param maxKeptBytes - a larger buffer is let go after its batch */
  constructor(maxKeptBytes: number) {
    this.#maxKeptBytes = maxKeptBytes;
  }

  /** Asks the condition of each record of a batch that was checked before. @returns for how many it holds */
  select(condition: Condition, bytes: Uint8Array, start: number, end: number, records: number): number {
    if (this.#chosen.length < records) this.#chosen = new Uint8Array(roomFor(records));
    // One more than records: at a power of two it grows where the other does not.
    if (this.#starts.length <= records) this.#starts = new Uint32Array(roomFor(records + 1));
    const cursor = this.#cursor;
    cursor.reset(bytes, start, end);
    let count = 0;
    for (let index = 0; index < records; index++) {
      this.#starts[index] = cursor.position;
      cursor.position++;
      const length = cursor.length();
      const holds = condition.holdsFor(bytes, cursor.position, cursor.position + length);
      cursor.position += length;
      this.#chosen[index] = holds ? 1 : 0;
      if (holds) count++;
    }
    this.#starts[records] = end;
    return count;
  }

  /** The chosen records of a batch, end to end. */
  gather(whole: StageInput, count: number): StageInput {
    const { bytes, records } = whole;
    let length = 0;
    for (let index = 0; index < records; index++)
      if (this.#chosen[index] === 1) length += this.#length(index);
    this.besideBytes = whole.end - whole.start - length;
    if (this.#gathered.length < length) this.#gathered = bufferFor(length);
    let position = 0;
    for (let index = 0; index < records; ) {
      const next = this.#endOfRun(index, records);
      if (this.#chosen[index] === 1) position = this.#copy(bytes, index, next, this.#gathered, position);
      index = next;
    }
    return { bytes: this.#gathered, start: 0, end: length, records: count };
  }

  /** The places of the chosen records in the whole batch. Allocates: for the path of failures only. */
  places(count: number): Uint32Array {
    const places = new Uint32Array(count);
    let found = 0;
    for (let index = 0; found < count; index++) if (this.#chosen[index] === 1) places[found++] = index;
    return places;
  }

  /** Puts the outputs of the chosen records among the others. What comes out is in `bytes`, `end`, `records` and `fanout`. */
  merge(whole: StageInput, output: StageOutput): void {
    const length = this.besideBytes + output.batchEnd - output.batchStart;
    const target = this.#nextTarget(length);
    if (this.fanout.length < whole.records) this.fanout = new Uint32Array(roomFor(whole.records));
    const cursor = this.#cursor;
    cursor.reset(output.bytes, output.batchStart, output.batchEnd);
    let position = 0;
    let taken = 0;
    let beside = 0;
    for (let index = 0; index < whole.records; ) {
      const next = this.#endOfRun(index, whole.records);
      if (this.#chosen[index] === 1) {
        const from = cursor.position;
        for (; index < next; index++) {
          const count = output.hasFanout ? (output.fanout[taken] as number) : 1;
          taken++;
          this.fanout[index] = count;
          for (let each = 0; each < count; each++) {
            cursor.position++;
            cursor.advance(cursor.length());
          }
        }
        copyBytes(output.bytes, from, cursor.position, target, position);
        position += cursor.position - from;
      } else {
        position = this.#copy(whole.bytes, index, next, target, position);
        beside += next - index;
        this.fanout.fill(1, index, next);
        index = next;
      }
    }
    if (position !== length) throw new Error("the parts of a batch do not add up");
    this.bytes = target;
    this.end = length;
    this.records = output.records + beside;
  }

  /** The batch is done: lets large buffers go. */
  release(): void {
    const most = this.#maxKeptBytes;
    if (this.#gathered.length > most) this.#gathered = nothing;
    if (this.#merged.length > most) this.#merged = nothing;
    if (this.#mergedBefore.length > most) this.#mergedBefore = nothing;
    this.bytes = nothing;
    this.#cursor.reset(nothing, 0, 0);
  }

  #nextTarget(length: number): Uint8Array {
    const target = this.#mergedBefore.length < length ? bufferFor(length) : this.#mergedBefore;
    this.#mergedBefore = this.#merged;
    this.#merged = target;
    return target;
  }

  /** Where the records end that are chosen, or not, as this one is. */
  #endOfRun(index: number, records: number): number {
    const chosen = this.#chosen[index];
    let next = index + 1;
    while (next < records && this.#chosen[next] === chosen) next++;
    return next;
  }

  #length(index: number): number {
    return (this.#starts[index + 1] as number) - (this.#starts[index] as number);
  }

  #copy(bytes: Uint8Array, from: number, to: number, target: Uint8Array, position: number): number {
    const [start, end] = [this.#starts[from] as number, this.#starts[to] as number];
    copyBytes(bytes, start, end, target, position);
    return position + end - start;
  }
}

const nothing = new Uint8Array(0);

function bufferFor(length: number): Uint8Array {
  return Buffer.allocUnsafeSlow(roomFor(length));
}
