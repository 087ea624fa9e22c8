/**
 * What a worker's handle needs of the place where the worker runs: a thread of this process, or a process of its own.
 *
 * @module
 */

import type { SlotMemory } from "../bridge/channel.ts";
import type { FromWorker } from "../bridge/from-worker.ts";
import type { ToWorker, WorkerStart } from "../bridge/to-worker.ts";
import type { ThreadCpu } from "./thread-cpu.ts";

/** What a link tells its handle. */
export interface LinkEvents {
  /** A message that was not asked for with {@link WorkerLink.take}. */
  message(message: FromWorker): void;
  /** The worker is gone, and all that it had sent has been told. */
  exited(end: WorkerEnd): void;
}

/** How a worker ended that was not told to. */
export interface WorkerEnd {
  readonly reason: "crash" | "out_of_memory";
  readonly problem: string;
}

/** The way to one worker and back. Slots lie in memory that the handle owns. */
export interface WorkerLink {
  /** The processor time of the thread that runs guests, and its rank. */
  readonly cpu: Pick<ThreadCpu, "usedMs" | "yieldToOthers" | "close">;
  /** Sends a message; it arrives before slots that are submitted later. */
  post(message: ToWorker, transfer: ArrayBuffer[]): void;
  /** Something was submitted or posted. */
  ring(): void;
  /** Nobody waits for the slot any more; its word in memory says so already. */
  cancelled(slot: number): void;
  /** Asks for slots that were not begun. Those that come back do so as `returned` messages. */
  recall(): void;
  /** The next message that has arrived, where the place keeps them until they are taken. */
  take(): FromWorker | undefined;
  /** Ends the worker, wherever it is. */
  terminate(): void;
  /** Resolves when the worker has ended. */
  ended(): Promise<void>;
  /** Lets go of what is left after the end. */
  close(): void;
}

/** What a worker is told at its start. */
export type LinkStart = Pick<WorkerStart, "limits" | "worker" | "ledger">;

/** Starts a worker over the handle's memory. */
export type StartLink = (memory: SlotMemory, start: LinkStart, events: LinkEvents) => WorkerLink;
