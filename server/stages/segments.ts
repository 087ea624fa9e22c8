/**
 * Several calls that were merged into one crossing: checks and counts what came in, and gives each
 * call its own result.
 *
 * @module
 */

import type { SlotMemory } from "../bridge/channel.ts";
import { outputHeadroomBytes, SegmentWord, Slot } from "../bridge/layout.ts";
import { walkBatch } from "../record/batch.ts";
import { copyBytes } from "../record/copy.ts";
import {
  encodeFailure,
  type Failure,
  packedFanoutSize,
  resultSize,
  writeBatchHead,
  writeFanout,
} from "../record/result.ts";
import { Cursor } from "../record/wire.ts";
import type { PipelineRunner } from "./pipeline-runner.ts";

/** Where the results of a crossing went. */
export type Written =
  | { readonly t: "slot" }
  | { readonly t: "transfer"; readonly bytes: Uint8Array<ArrayBuffer> };

const inSlot: Written = { t: "slot" };

/** Reads the segments of a slot and writes their results. Reused from slot to slot. */
export class Segments {
  readonly #memory: SlotMemory;
  readonly #cursor = new Cursor();
  #slot = 0;
  #count = 0;

  constructor(memory: SlotMemory) {
    this.#memory = memory;
  }

  /**
   * Checks every segment of a slot and counts its records into the segment table.
   *
   * @returns how many records there are in all
   * @throws WireError when a segment is no RecordBatch
   */
  read(slot: number, bytes: Uint8Array, start: number): number {
    const { words } = this.#memory;
    this.#slot = slot;
    this.#count = words[this.#memory.slot(slot) + Slot.segments] as number;
    let position = start;
    let records = 0;
    for (let segment = 0; segment < this.#count; segment++) {
      const entry = this.#memory.segment(slot, segment);
      const end = position + (words[entry + SegmentWord.length] as number);
      this.#cursor.reset(bytes, position, end);
      const count = walkBatch(this.#cursor);
      words[entry + SegmentWord.recordsIn] = count;
      records += count;
      position = end;
    }
    return records;
  }

  /** Writes each segment's TransformResult, with room before it, into the slot or into memory of its own if that is too small. */
  write(runner: PipelineRunner): Written {
    if (this.#count === 1 && runner.failures.length === 0) {
      const written = this.#writeWhole(runner);
      if (written) return inSlot;
    }
    return this.#writePlans(
      runner,
      this.#count === 1 ? [this.#planWhole(runner)] : this.#planSegments(runner),
    );
  }

  /** The usual case without an object made: one call, nothing failed, the result fits. @returns whether it was written */
  #writeWhole(runner: PipelineRunner): boolean {
    const { layout, words, bytes } = this.#memory;
    const { composition } = runner;
    const batchBytes = runner.end - runner.start;
    const fanoutBytes = composition.identity
      ? 0
      : packedFanoutSize(composition.fanout, 0, composition.inputs);
    const size = resultSize(batchBytes, fanoutBytes, 0);
    if (outputHeadroomBytes + size > layout.outputBytes) return false;
    const entry = this.#memory.segment(this.#slot, 0);
    const start = this.#memory.outputStart(this.#slot) + outputHeadroomBytes;
    words[entry + SegmentWord.outputStart] = start;
    words[entry + SegmentWord.outputLength] = size;
    words[entry + SegmentWord.recordsOut] = composition.records;
    words[entry + SegmentWord.recordsFailed] = 0;
    const position = writeBatchHead(bytes, start, batchBytes);
    copyBytes(runner.bytes, runner.start, runner.end, bytes, position);
    if (fanoutBytes > 0) {
      writeFanout(bytes, position + batchBytes, composition.fanout, 0, composition.inputs, fanoutBytes);
    }
    return true;
  }

  #writePlans(runner: PipelineRunner, plans: readonly Plan[]): Written {
    const { layout, words } = this.#memory;
    let total = 0;
    for (const plan of plans) total += outputHeadroomBytes + plan.size;
    const transfer = total > layout.outputBytes;
    const target = transfer ? new Uint8Array(total) : this.#memory.bytes;
    let position = transfer ? 0 : this.#memory.outputStart(this.#slot);
    plans.forEach((plan, segment) => {
      const entry = this.#memory.segment(this.#slot, segment);
      position += outputHeadroomBytes;
      words[entry + SegmentWord.outputStart] = position;
      words[entry + SegmentWord.outputLength] = plan.size;
      words[entry + SegmentWord.recordsOut] = plan.records;
      words[entry + SegmentWord.recordsFailed] = plan.failures.length;
      position = writeResult(target, position, runner, plan);
    });
    return transfer ? { t: "transfer", bytes: target as Uint8Array<ArrayBuffer> } : inSlot;
  }

  #planWhole(runner: PipelineRunner): Plan {
    const { composition } = runner;
    return plan(
      runner,
      0,
      composition.inputs,
      runner.start,
      runner.end,
      composition.records,
      runner.failures,
    );
  }

  #planSegments(runner: PipelineRunner): Plan[] {
    const { words } = this.#memory;
    const { composition, failures } = runner;
    this.#cursor.reset(runner.bytes, runner.start, runner.end);
    const plans: Plan[] = [];
    let input = 0;
    let nextFailure = 0;
    for (let segment = 0; segment < this.#count; segment++) {
      const inputs = words[this.#memory.segment(this.#slot, segment) + SegmentWord.recordsIn] as number;
      const start = this.#cursor.position;
      const records = this.#advance(runner, input, inputs);
      const mine: Failure[] = [];
      for (; nextFailure < failures.length; nextFailure++) {
        const failure = failures[nextFailure] as Failure;
        if (failure.index >= input + inputs) break;
        mine.push({ ...failure, index: failure.index - input });
      }
      plans.push(plan(runner, input, input + inputs, start, this.#cursor.position, records, mine));
      input += inputs;
    }
    if (composition.inputs !== input) throw new Error("segments do not add up to the batch");
    return plans;
  }

  /** Moves the cursor over the outputs of some inputs and returns how many there are. */
  #advance(runner: PipelineRunner, firstInput: number, inputs: number): number {
    const { composition } = runner;
    let outputs = inputs;
    if (!composition.identity) {
      outputs = 0;
      for (let index = firstInput; index < firstInput + inputs; index++)
        outputs += composition.fanout[index] as number;
    }
    for (let output = 0; output < outputs; output++) {
      this.#cursor.position++;
      this.#cursor.advance(this.#cursor.length());
    }
    return outputs;
  }
}

/** One segment's result, measured. */
interface Plan {
  readonly size: number;
  readonly firstInput: number;
  readonly endInput: number;
  readonly start: number;
  readonly end: number;
  readonly records: number;
  readonly fanoutBytes: number;
  readonly failures: readonly Uint8Array[];
}

const none: readonly Uint8Array[] = [];

function plan(
  runner: PipelineRunner,
  firstInput: number,
  endInput: number,
  start: number,
  end: number,
  records: number,
  failures: readonly Failure[],
): Plan {
  const { composition } = runner;
  const fanoutBytes = composition.identity ? 0 : packedFanoutSize(composition.fanout, firstInput, endInput);
  const encoded = failures.length === 0 ? none : failures.map(encodeFailure);
  let failureBytes = 0;
  for (const failure of encoded) failureBytes += failure.length;
  const size = resultSize(end - start, fanoutBytes, failureBytes);
  return { size, firstInput, endInput, start, end, records, fanoutBytes, failures: encoded };
}

function writeResult(target: Uint8Array, position: number, runner: PipelineRunner, plan: Plan): number {
  position = writeBatchHead(target, position, plan.end - plan.start);
  copyBytes(runner.bytes, plan.start, plan.end, target, position);
  position += plan.end - plan.start;
  if (plan.fanoutBytes > 0) {
    position = writeFanout(
      target,
      position,
      runner.composition.fanout,
      plan.firstInput,
      plan.endInput,
      plan.fanoutBytes,
    );
  }
  for (const failure of plan.failures) {
    target.set(failure, position);
    position += failure.length;
  }
  return position;
}
