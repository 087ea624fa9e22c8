/**
 * The life of a worker thread: wait, take messages, run slots.
 *
 * The thread never returns to its event loop: it sleeps in `Atomics.wait` and reads its messages
 * synchronously, because a wake-up through the event loop costs several times as much. So no timer, promise
 * or stream may be used on this side.
 *
 * @module
 */

import { type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import { RingReader, RingWriter, SlotMemory } from "../bridge/channel.ts";
import { completedMessage, type FromWorker } from "../bridge/from-worker.ts";
import { Claim, Control, layoutFor, Slot, Transfer } from "../bridge/layout.ts";
import type { ToWorker, WorkerStart } from "../bridge/to-worker.ts";
import { replaceLimits } from "../limit-changes.ts";
import type { Limits } from "../limits.ts";
import { PipelineRunner } from "../stages/pipeline-runner.ts";
import { RunContext } from "../stages/run-context.ts";
import { collectGarbage } from "./collect.ts";
import { CrashLedger } from "./crash-ledger.ts";
import { GuestReports } from "./guest-reports.ts";
import { InstanceBudget } from "./instance-budget.ts";
import { SlotRunner } from "./slot-runner.ts";
import { WitnessedContext } from "./witness.ts";

/** While there is work without a pause, counters are sent once in so many batches. */
const batchesBetweenFlushes = 256;

/**
 * Waking the other thread costs as much as a small batch, so completions are announced together: when the
 * worker runs out of work, after so many of them, or at once after a batch that took so long, in milliseconds.
 */
const maxUnannounced = 4;
const longBatchMs = 0.1;

/** Runs until it is told to stop. */
export class WorkerLoop {
  readonly #memory: SlotMemory;
  /** What is the worker's own and no batch's, as it is now. */
  readonly #limits: Readonly<Limits>;
  readonly #port: MessagePort;
  readonly #submitted: RingReader;
  readonly #completed: RingWriter;
  readonly #reports: GuestReports;
  readonly #context: RunContext;
  readonly #budget: InstanceBudget;
  readonly #ledger: CrashLedger | undefined;
  readonly #slots: SlotRunner;
  readonly #pipelines = new Map<number, PipelineRunner>();
  readonly #inputs = new Map<number, Uint8Array>();
  #messagesRead = 0;
  #stopping = false;
  #unannounced = 0;

  constructor({ shared, limits, port, ledger, witness }: WorkerStart) {
    this.#memory = new SlotMemory(layoutFor(limits), shared);
    this.#limits = { ...limits };
    this.#port = port;
    this.#submitted = new RingReader(this.#memory, "submit");
    this.#completed = new RingWriter(this.#memory, "complete");
    this.#reports = new GuestReports(port, this.#limits);
    this.#context =
      witness === undefined
        ? new RunContext(this.#memory, limits, this.#reports)
        : new WitnessedContext(this.#memory, limits, this.#reports, witness);
    this.#budget = new InstanceBudget(
      this.#limits,
      (bytes) => this.#context.instanceBytes(bytes),
      collectGarbage,
    );
    this.#ledger = ledger && new CrashLedger(ledger);
    this.#slots = new SlotRunner(this.#memory, this.#context, port, this.#budget, this.#ledger);
  }

  /** Serves slots and messages until told to stop. */
  run(): void {
    const { words } = this.#memory;
    this.#post({ type: "ready" });
    let sinceFlush = 0;
    while (!this.#stopping || this.#submitted.ready) {
      const doorbell = Atomics.load(words, Control.doorbell);
      const slot = this.#submitted.take();
      // What a slot needs was posted before it was submitted: it is here once the slot was seen, and not before.
      this.#readMessages();
      if (slot >= 0) {
        if (this.#claim(slot)) this.#runSlot(slot);
        if (++sinceFlush % batchesBetweenFlushes === 0) this.#reports.flush();
        continue;
      }
      if (this.#stopping) return;
      this.#reports.flush();
      this.#sleep(doorbell);
    }
  }

  /** Takes a slot for this worker. False when the main thread has taken it back: then it is only returned. */
  #claim(slot: number): boolean {
    const word = this.#memory.slot(slot) + Slot.claim;
    if (Atomics.compareExchange(this.#memory.words, word, Claim.open, Claim.worker) === Claim.open)
      return true;
    this.#inputs.delete(slot);
    this.#completed.push(slot);
    if (!this.#submitted.ready) this.#announce();
    return false;
  }

  /** Sleeps unless the bell has rung since it was looked at: so no ring is lost. */
  #sleep(doorbell: number): void {
    const { words } = this.#memory;
    Atomics.store(words, Control.asleep, 1);
    const woken = Atomics.wait(words, Control.doorbell, doorbell, this.#ledger?.clearAfterMs);
    if (woken === "timed-out") this.#ledger?.clear();
    Atomics.store(words, Control.asleep, 0);
  }

  #runSlot(slot: number): void {
    const { words } = this.#memory;
    const base = this.#memory.slot(slot);
    let input: Uint8Array | undefined;
    if (words[base + Slot.transfer] === Transfer.input) {
      input = this.#inputs.get(slot);
      this.#inputs.delete(slot);
    }
    const runner = this.#pipelines.get(words[base + Slot.pipeline] as number);
    if (runner !== undefined) {
      this.#context.limits = runner.spec.limits;
      this.#ledger?.begin(runner.spec, slot, this.#context);
    }
    this.#slots.run(slot, runner, input);
    this.#ledger?.end();
    this.#completed.push(slot);
    this.#unannounced++;
    const { times } = this.#memory;
    const at = this.#memory.timesOf(slot);
    const tookMs = (times[at + 1] as number) - (times[at] as number);
    if (tookMs > longBatchMs || this.#unannounced >= maxUnannounced || !this.#submitted.ready)
      this.#announce();
  }

  /** Tells the main thread that slots have completed, unless it will look by itself. */
  #announce(): void {
    this.#unannounced = 0;
    if (Atomics.exchange(this.#memory.words, Control.armed, 0) === 1) this.#post(completedMessage);
  }

  #readMessages(): void {
    const { words } = this.#memory;
    while (this.#messagesRead !== Atomics.load(words, Control.posted)) {
      const received = receiveMessageOnPort(this.#port) as { message: ToWorker } | undefined;
      if (received === undefined) return;
      this.#messagesRead = (this.#messagesRead + 1) | 0;
      this.#handle(received.message);
    }
  }

  #handle(message: ToWorker): void {
    switch (message.type) {
      case "load":
        this.#pipelines.set(
          message.pipeline.id,
          new PipelineRunner(message.pipeline, this.#context, this.#budget.admit),
        );
        return;
      case "drop":
        this.#pipelines.get(message.id)?.discard();
        this.#pipelines.delete(message.id);
        this.#budget.refresh();
        return;
      case "input":
        this.#inputs.set(message.slot, message.bytes);
        return;
      case "limits":
        replaceLimits(this.#limits, message.limits);
        return;
      case "stop":
        this.#stopping = true;
        return;
    }
  }

  #post(message: FromWorker): void {
    this.#port.postMessage(message);
  }
}
