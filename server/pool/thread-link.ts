/**
 * A worker in a thread of this process: both sides see the same memory.
 *
 * @module
 */

import { randomBytes } from "node:crypto";
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from "node:worker_threads";
import type { SlotMemory } from "../bridge/channel.ts";
import type { FromWorker } from "../bridge/from-worker.ts";
import { Control } from "../bridge/layout.ts";
import type { ToWorker, WorkerStart } from "../bridge/to-worker.ts";
import type { Limits } from "../limits.ts";
import { ThreadCpu } from "./thread-cpu.ts";
import type { LinkEvents, StartLink, WorkerEnd, WorkerLink } from "./worker-link.ts";

/** Where worker threads start: `entry.ts` in the source tree, `entry.js` in a published package. */
const entry = new URL(`../thread/entry${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url);

/** What a thread is started with. */
export type ThreadStart = Pick<WorkerStart, "worker" | "ledger" | "witness"> & {
  readonly limits: Readonly<Limits>;
};

/** A thread's name: unique in the process, whichever thread starts it, and within the 15 bytes that Linux keeps. */
export function threadName(worker: number): string {
  return `leat-${worker}-${randomBytes(2).toString("hex")}`;
}

/** Starts a worker thread over the memory. */
export class ThreadLink implements WorkerLink {
  readonly cpu: ThreadCpu;
  readonly #memory: SlotMemory;
  readonly #worker: Worker;
  readonly #port: MessagePort;
  #problem: unknown;

  constructor(memory: SlotMemory, start: ThreadStart, events: LinkEvents, name = threadName(start.worker)) {
    this.#memory = memory;
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    const workerData: WorkerStart = { ...start, shared: memory.shared, port: port2 };
    this.cpu = new ThreadCpu(name);
    this.#worker = new Worker(entry, {
      name,
      workerData,
      transferList: [port2],
      execArgv: [],
      stdout: false,
      stderr: false,
      resourceLimits: { maxOldGenerationSizeMb: 256, maxYoungGenerationSizeMb: 32, stackSizeMb: 4 },
    });
    this.#port.on("message", (message: FromWorker) => events.message(message));
    this.#worker.on("error", (error) => {
      this.#problem = error;
    });
    this.#worker.on("exit", () => events.exited(this.#end()));
  }

  post(message: ToWorker, transfer: ArrayBuffer[]): void {
    this.#port.postMessage(message, transfer);
    Atomics.add(this.#memory.words, Control.posted, 1);
  }

  ring(): void {
    const { words } = this.#memory;
    Atomics.add(words, Control.doorbell, 1);
    if (Atomics.load(words, Control.asleep) === 1) Atomics.notify(words, Control.doorbell);
  }

  /** The thread reads the slot's word. */
  cancelled(): void {}

  /** Slots that were not begun are taken back in memory. */
  recall(): void {}

  take(): FromWorker | undefined {
    const received = receiveMessageOnPort(this.#port) as { message: FromWorker } | undefined;
    return received?.message;
  }

  terminate(): void {
    void this.#worker.terminate();
  }

  ended(): Promise<void> {
    return new Promise((resolve) => this.#worker.once("exit", () => resolve()));
  }

  close(): void {
    this.cpu.close();
    this.#port.close();
  }

  #end(): WorkerEnd {
    const code = (this.#problem as { code?: string } | undefined)?.code;
    return {
      reason: code === "ERR_WORKER_OUT_OF_MEMORY" ? "out_of_memory" : "crash",
      problem: this.#problem instanceof Error ? this.#problem.message : "the worker thread ended",
    };
  }
}

/** Starts workers in threads of this process. */
export const startThread: StartLink = (memory, start, events) =>
  new ThreadLink(memory, { ...start, witness: undefined }, events);
