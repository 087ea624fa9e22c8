/**
 * What a stage knows of the worker it runs in: where to say what it is doing, and whether to go on.
 *
 * @module
 */

import type { SlotMemory } from "../bridge/channel.ts";
import { Control, Phase, Slot, StageWord } from "../bridge/layout.ts";
import type { BatchLimits } from "../limit-changes.ts";
import { type Limits, wasmPageBytes } from "../limits.ts";
import { Selection } from "./selection.ts";

/** Receives what guests say. */
export interface GuestSink {
  /** A line that a guest logged; level 0 debug to 3 error. @returns whether it was passed on, not dropped */
  log(pipeline: number, stage: number, level: number, text: string): boolean;
  /** An addition to one of a guest's own counters. @returns whether it counts under its own name */
  count(pipeline: number, stage: number, name: string, delta: number): boolean;
}

/** Ends the run of calls that were merged and must not be: what is beyond a limit may be within it for each. */
export class RunApart extends Error {
  override readonly name = "RunApart";
}

/** The worker's side of the watchdog and of cancellation, through shared memory. */
export class RunContext {
  /** Those of the batch that runs. */
  limits: BatchLimits;
  readonly sink: GuestSink;
  /** For stages that run some records only. */
  readonly selection: Selection;
  readonly #words: Int32Array;
  readonly #memory: SlotMemory;
  #slot = 0;
  #cancelWord = 0;
  #calls = 1;

  constructor(memory: SlotMemory, limits: BatchLimits & Pick<Limits, "slotOutputBytes">, sink: GuestSink) {
    this.#memory = memory;
    this.#words = memory.words;
    this.limits = limits;
    this.sink = sink;
    this.selection = new Selection(limits.slotOutputBytes);
  }

  /** A batch begins. */
  begin(slot: number): void {
    const words = this.#words;
    this.#slot = slot;
    this.#cancelWord = this.#memory.slot(slot) + Slot.cancelled;
    this.#calls = words[this.#memory.slot(slot) + Slot.segments] as number;
    words[Control.currentStage] = 0;
    words[Control.currentRecord] = -1;
    words[Control.currentPhase] = Phase.host;
    words[Control.begun] = ((words[Control.begun] as number) + 1) | 0;
    Atomics.store(words, Control.currentSlot, slot);
  }

  /** The batch has ended. */
  end(): void {
    Atomics.store(this.#words, Control.currentPhase, Phase.idle);
    Atomics.store(this.#words, Control.currentSlot, -1);
  }

  /** A guest is about to be called: its time starts. */
  enter(stage: number, phase: (typeof Phase)[keyof typeof Phase]): void {
    const words = this.#words;
    words[Control.currentStage] = stage;
    words[Control.currentRecord] = -1;
    words[Control.guestCalls] = ((words[Control.guestCalls] as number) + 1) | 0;
    Atomics.store(words, Control.currentPhase, phase);
  }

  /** The guest has returned, and what it returned is read. */
  leave(): void {
    Atomics.store(this.#words, Control.currentPhase, Phase.host);
  }

  /** The guest says which record it works on. A plain store: one is made for each record. */
  record(index: number): void {
    this.#words[Control.currentRecord] = index;
  }

  /** The record that the guest last said it works on, or -1. */
  get currentRecord(): number {
    return this.#words[Control.currentRecord] as number;
  }

  /** Whether several calls share this batch. */
  get merged(): boolean {
    return this.#calls > 1;
  }

  /** Whether nobody waits for this batch any more. */
  get cancelled(): boolean {
    return this.#words[this.#cancelWord] === 1;
  }

  /** Counts something that a stage did in this batch. It is in shared memory at once, so that it is told of a worker that is stopped, too. */
  count(stage: number, word: (typeof StageWord)[keyof typeof StageWord], times = 1): void {
    const at = this.#memory.stage(this.#slot, stage) + word;
    this.#words[at] = ((this.#words[at] as number) + times) | 0;
  }

  /** A stage's instance has a memory of so many bytes. */
  memoryBytes(stage: number, bytes: number): void {
    const at = this.#memory.stage(this.#slot, stage) + StageWord.memoryPages;
    const pages = bytes / wasmPageBytes;
    if (pages > (this.#words[at] as number)) this.#words[at] = pages;
  }

  /** The memory of all instances in this worker. */
  instanceBytes(bytes: number): void {
    Atomics.store(this.#words, Control.instancePages, bytes / wasmPageBytes);
  }

  /** Counts an instance made (1) or dropped (-1). */
  instances(change: 1 | -1): void {
    Atomics.add(this.#words, Control.instances, change);
  }
}
