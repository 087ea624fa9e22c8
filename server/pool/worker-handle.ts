/**
 * The main thread's side of one worker: its slots, its life and what it runs.
 *
 * @module
 */

import { RingReader, RingWriter, SlotMemory } from "../bridge/channel.ts";
import {
  completedMessage,
  type FromWorker,
  type GuestCounters,
  type GuestLog,
} from "../bridge/from-worker.ts";
import { Claim, Control, layoutFor, Slot, Transfer } from "../bridge/layout.ts";
import type { ToWorker } from "../bridge/to-worker.ts";
import type { Clock } from "../clock.ts";
import type { Limits } from "../limits.ts";
import type { LedgerSeat } from "../supervision/ledger-format.ts";
import type { LedgerRows } from "../supervision/ledger-rows.ts";
import type { Crossing } from "./crossing.ts";
import { writeCrossing } from "./slot-writer.ts";
import type { StartLink, WorkerEnd, WorkerLink } from "./worker-link.ts";

/** The life of a worker. */
export type WorkerState =
  | { readonly t: "starting" }
  | { readonly t: "ready" }
  | { readonly t: "stopping"; readonly reason: StopReason }
  | { readonly t: "dead"; readonly reason: StopReason };

/** Why a worker ended. */
export type StopReason = "timeout" | "cancelled" | "crash" | "out_of_memory" | "shutdown";

/** Who is told what happens in a worker. */
export interface WorkerEvents {
  /** It waits for slots for the first time. */
  ready(worker: WorkerHandle): void;
  /** A crossing's slot was completed; hold it, and release it when its results were used. */
  completed(worker: WorkerHandle, crossing: Crossing, slot: number, output: Buffer | undefined): void;
  /** Completed slots were read. */
  drained(worker: WorkerHandle): void;
  /** A crossing came back that was not begun. */
  returned(crossing: Crossing): void;
  /** A guest said something. */
  guest(message: GuestLog | GuestCounters): void;
  /** It is gone; `left` had not completed, in the order of their submission. */
  dead(
    worker: WorkerHandle,
    reason: StopReason,
    left: readonly Crossing[],
    running: Crossing | undefined,
  ): void;
}

/** What a worker is made with. */
export interface WorkerParts {
  readonly limits: Readonly<Limits>;
  readonly clock: Clock;
  /** Where it says what it runs; undefined where nobody supervises the process. */
  readonly ledger: LedgerRows | undefined;
  /** Starts it, in a thread or a process. */
  readonly start: StartLink;
}

let workersStarted = 0;

/** One worker. */
export class WorkerHandle {
  /** Names the worker in telemetry, from 1. */
  readonly number = ++workersStarted;
  readonly memory: SlotMemory;
  state: WorkerState = { t: "starting" };
  /** Whether it was ever ready. */
  started = false;
  /** Crossings submitted and not completed. */
  queued = 0;
  /** Whether a long batch holds it up, so that nothing is submitted to it. */
  stalled = false;
  readonly #limits: Readonly<Limits>;
  readonly #clock: Clock;
  readonly #events: WorkerEvents;
  readonly #ledger: { readonly rows: LedgerRows; readonly seat: LedgerSeat } | undefined;
  readonly #link: WorkerLink;
  readonly #submit: RingWriter;
  readonly #complete: RingReader;
  readonly #running: (Crossing | undefined)[];
  /** Results of each slot that were not released yet. */
  readonly #held: Int32Array;
  #submissions = 0;
  readonly #freeSlots: number[];
  readonly #outputs = new Map<number, Buffer>();
  readonly #loaded = new Set<number>();
  #end: WorkerEnd | undefined;
  #unrung = false;
  /** Whether what it has was taken from it. */
  #abandoned = false;

  constructor(parts: WorkerParts, events: WorkerEvents) {
    const { limits, ledger } = parts;
    this.#limits = limits;
    this.#clock = parts.clock;
    this.#events = events;
    this.memory = new SlotMemory(layoutFor(limits));
    this.memory.words[Control.currentSlot] = -1;
    this.memory.words[Control.armed] = 1;
    this.#submit = new RingWriter(this.memory, "submit");
    this.#complete = new RingReader(this.memory, "complete");
    this.#running = new Array(this.memory.layout.slots).fill(undefined);
    this.#held = new Int32Array(this.memory.layout.slots);
    this.#freeSlots = Array.from({ length: this.memory.layout.slots }, (_, slot) => slot).reverse();
    this.#ledger = ledger && { rows: ledger, seat: ledger.take() };
    this.#link = parts.start(
      this.memory,
      { limits, worker: this.number, ledger: this.#ledger?.seat },
      { message: (message) => this.#receive(message), exited: (end) => this.#exited(end) },
    );
  }

  /** The processor time of the thread that runs its guests. */
  get cpu(): WorkerLink["cpu"] {
    return this.#link.cpu;
  }

  /** Whether another crossing can be submitted. */
  get hasRoom(): boolean {
    return (
      this.state.t === "ready" &&
      !this.stalled &&
      this.queued < this.#limits.maxWorkerQueue &&
      this.#freeSlots.length > 0
    );
  }

  /** Hands a crossing to the worker. Call only when {@link hasRoom}. */
  submit(crossing: Crossing): void {
    const slot = this.#freeSlots.pop();
    if (slot === undefined) throw new Error("no free slot");
    const { spec } = crossing.pipeline;
    if (!this.#loaded.has(spec.id)) {
      this.#loaded.add(spec.id);
      this.#post({ type: "load", pipeline: spec });
    }
    this.#running[slot] = crossing;
    this.queued++;
    crossing.startedMs = this.#clock.nowMs();
    const transferred = writeCrossing(this.memory, slot, crossing);
    if (transferred !== undefined)
      this.#post({ type: "input", slot, bytes: transferred }, [transferred.buffer]);
    crossing.copyInMs = this.#clock.nowMs() - crossing.startedMs;
    crossing.running(this, slot, ++this.#submissions);
    this.#submit.push(slot);
    this.#unrung = true;
  }

  /** Wakes the worker if it sleeps and something was submitted since it was last woken. */
  wake(): void {
    if (!this.#unrung) return;
    this.#unrung = false;
    this.#link.ring();
  }

  /** Tells the worker the limits as they are now. */
  limitsChanged(): void {
    if (this.state.t === "starting" || this.state.t === "ready")
      this.#post({ type: "limits", limits: this.#limits });
  }

  /** Makes the worker forget a pipeline that no crossing uses any more. */
  drop(pipeline: number): void {
    if (this.state.t === "dead" || !this.#loaded.delete(pipeline)) return;
    this.#post({ type: "drop", id: pipeline });
    this.#link.ring();
  }

  /** Whether slots have completed that were not read yet. */
  get hasCompleted(): boolean {
    return this.#complete.ready;
  }

  /** Reads completed slots now; no message will be sent for them. */
  drain(): void {
    const { words } = this.memory;
    if (this.#abandoned) return;
    if (this.#finishAll()) this.#events.drained(this);
    Atomics.store(words, Control.armed, 1);
    // A slot that completed before the word was set sent no message.
    if (this.#complete.ready && Atomics.exchange(words, Control.armed, 0) === 1) this.drain();
  }

  /** The main thread will drain soon by itself: completions need not wake it. */
  disarm(): void {
    Atomics.store(this.memory.words, Control.armed, 0);
  }

  /** Slots that are in use: their crossing runs or waits, or a result in them was not released yet. */
  get slotsInUse(): number {
    return this.memory.layout.slots - this.#freeSlots.length;
  }

  /** Whether slots run short, so that results must not stay in theirs. */
  get slotsAreScarce(): boolean {
    return this.#freeSlots.length <= this.#limits.maxWorkerQueue;
  }

  /** Keeps a completed slot until so many results were released. */
  holdSlot(slot: number, results: number): void {
    this.#held[slot] = results;
  }

  /** One of a slot's results was used; with the last one, the slot is free. */
  releaseSlot(slot: number): void {
    const held = (this.#held[slot] as number) - 1;
    if (held < 0) throw new Error("a result was released twice");
    this.#held[slot] = held;
    if (held === 0) this.#freeSlots.push(slot);
  }

  /** Takes back what was submitted and not begun, in the order of submission. */
  takeBack(): Crossing[] {
    const taken: Crossing[] = [];
    for (let slot = 0; slot < this.#running.length; slot++) {
      const crossing = this.#running[slot];
      if (crossing === undefined) continue;
      const word = this.memory.slot(slot) + Slot.claim;
      if (Atomics.compareExchange(this.memory.words, word, Claim.open, Claim.takenBack) !== Claim.open)
        continue;
      // The slot itself comes back when the worker gets to it.
      this.#running[slot] = undefined;
      this.queued--;
      crossing.attempts--;
      taken.push(crossing);
    }
    this.#link.recall();
    return taken.sort((a, b) => a.submission - b.submission);
  }

  /** Tells the guest of a slot that nobody waits for it any more. */
  cancelSlot(slot: number): void {
    Atomics.store(this.memory.words, this.memory.slot(slot) + Slot.cancelled, 1);
    this.#link.cancelled(slot);
  }

  /** The crossing that the worker runs at this moment. */
  get current(): Crossing | undefined {
    const slot = Atomics.load(this.memory.words, Control.currentSlot);
    return slot < 0 ? undefined : this.#running[slot];
  }

  /**
   * Takes everything from a worker that is being stopped, without waiting for its end: what has completed is used, what is
   * left can run elsewhere. What the worker still does is its own.
   */
  abandon(): { left: readonly Crossing[]; running: Crossing | undefined } {
    if (!this.#abandoned) this.#finishAll();
    this.#abandoned = true;
    const running = this.current;
    const left = this.#running.filter((crossing) => crossing !== undefined);
    left.sort((a, b) => a.submission - b.submission);
    this.#running.fill(undefined);
    this.queued = 0;
    return { left, running };
  }

  /** Ends the worker, wherever it is. `dead` is told when it has ended. */
  stop(reason: StopReason): void {
    if (this.state.t === "stopping" || this.state.t === "dead") return;
    this.state = { t: "stopping", reason };
    this.#link.terminate();
  }

  /** Resolves when the worker has ended. */
  async ended(): Promise<void> {
    if (this.state.t !== "dead") await this.#link.ended();
  }

  /** @returns whether any slot had completed */
  #finishAll(): boolean {
    let any = false;
    for (let slot = this.#complete.take(); slot >= 0; slot = this.#complete.take()) {
      any = true;
      this.#finish(slot);
    }
    return any;
  }

  #finish(slot: number): void {
    const { words } = this.memory;
    const base = this.memory.slot(slot);
    const crossing = this.#running[slot];
    if (crossing === undefined) {
      if (words[base + Slot.claim] !== Claim.takenBack)
        throw new Error(`slot ${slot} completed, and nothing ran in it`);
      this.#freeSlots.push(slot);
      return;
    }
    this.stalled = false;
    const transferred = words[base + Slot.transfer] === Transfer.output;
    if (transferred || words[base + Slot.reported] === 1) this.#readMessages();
    this.#running[slot] = undefined;
    this.queued--;
    let output: Buffer | undefined;
    if (transferred) {
      output = this.#outputs.get(slot);
      this.#outputs.delete(slot);
    }
    this.#events.completed(this, crossing, slot, output);
  }

  /** What a worker posts before it completes a slot has arrived when the slot has. */
  #readMessages(): void {
    for (let message = this.#link.take(); message !== undefined; message = this.#link.take()) {
      // Completions are being read already.
      if (message !== completedMessage) this.#receive(message);
    }
  }

  #receive(message: FromWorker): void {
    if (message === completedMessage) {
      this.drain();
      return;
    }
    switch (message.type) {
      case "ready":
        if (this.state.t !== "starting") return;
        this.state = { t: "ready" };
        this.started = true;
        this.#events.ready(this);
        return;
      case "report": {
        const crossing = this.#running[message.slot];
        if (crossing !== undefined) crossing.report = message;
        return;
      }
      case "output":
        this.#outputs.set(message.slot, Buffer.from(message.bytes.buffer));
        return;
      case "returned":
        this.#giveBack(message.slot);
        return;
      case "log":
      case "counters":
        this.#events.guest(message);
        return;
    }
  }

  /** A slot came back that was not begun. It is free once it has completed, empty: until then the process has it. */
  #giveBack(slot: number): void {
    const crossing = this.#running[slot];
    if (crossing === undefined) return;
    this.#running[slot] = undefined;
    this.queued--;
    crossing.attempts--;
    this.#events.returned(crossing);
  }

  #exited(end: WorkerEnd): void {
    this.#ledger?.rows.free(this.#ledger.seat);
    this.#end = end;
    const reason = this.state.t === "stopping" ? this.state.reason : end.reason;
    this.#readMessages();
    const { left, running } = this.abandon();
    this.state = { t: "dead", reason };
    this.#link.close();
    this.#events.dead(this, reason, left, running);
  }

  /** What ended the worker, when it ended by itself. */
  get problem(): string {
    return this.#end?.problem ?? "the worker ended";
  }

  #post(message: ToWorker, transfer: ArrayBuffer[] = []): void {
    this.#link.post(message, transfer);
  }
}
