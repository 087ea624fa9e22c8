/**
 * Writes down what the thread is about to do, for who finds its process dead: memory is gone then, and what was
 * written to a pipe is not.
 *
 * @module
 */

import { writeSync } from "node:fs";
import type { SlotMemory } from "../bridge/channel.ts";
import { witnessWords } from "../bridge/frames.ts";
import { Control, type Phase, Slot } from "../bridge/layout.ts";
import type { Limits } from "../limits.ts";
import { type GuestSink, RunContext } from "../stages/run-context.ts";

/**
 * A context that leaves word before each call of a guest: one small write. Of records it does so only in runs that have
 * records to leave out, since such a run looks for the one that has ended a process before.
 */
export class WitnessedContext extends RunContext {
  readonly #slotMemory: SlotMemory;
  readonly #file: number;
  readonly #entry = new Int32Array(witnessWords);
  #namesRecords = false;

  /** @param file - where to write */
  constructor(memory: SlotMemory, limits: Readonly<Limits>, sink: GuestSink, file: number) {
    super(memory, limits, sink);
    this.#slotMemory = memory;
    this.#file = file;
  }

  override begin(slot: number): void {
    super.begin(slot);
    const { words } = this.#slotMemory;
    this.#namesRecords = (words[this.#slotMemory.slot(slot) + Slot.exclusions] as number) > 0;
    this.#write(0, -1);
  }

  override enter(stage: number, phase: (typeof Phase)[keyof typeof Phase]): void {
    super.enter(stage, phase);
    this.#write(stage, -1);
  }

  override record(index: number): void {
    super.record(index);
    if (this.#namesRecords) this.#write(this.#slotMemory.words[Control.currentStage] as number, index);
  }

  #write(stage: number, record: number): void {
    const { words } = this.#slotMemory;
    this.#entry[0] = words[Control.begun] as number;
    this.#entry[1] = words[Control.currentSlot] as number;
    this.#entry[2] = stage;
    this.#entry[3] = record;
    writeSync(this.#file, this.#entry);
  }
}
