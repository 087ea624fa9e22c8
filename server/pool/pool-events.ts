/**
 * What a pool tells of its workers.
 *
 * @module
 */

import type { GuestCounters, GuestLog } from "../bridge/from-worker.ts";
import type { Crossing } from "./crossing.ts";
import type { Overrun } from "./watchdog.ts";
import type { StopReason, WorkerHandle } from "./worker-handle.ts";

/** Who is told what happens in the pool. */
export interface PoolEvents {
  /** A crossing's slot was completed. Hold the slot with `worker.holdSlot`, and release it when its results were used. */
  completed(worker: WorkerHandle, crossing: Crossing, slot: number, output: Buffer | undefined): void;
  /** A crossing must run again, ahead of what waits. */
  again(crossing: Crossing): void;
  /** A worker has ended under a crossing, for which it had a processor for so long, as far as that is known. */
  lost(worker: WorkerHandle, crossing: Crossing, cpuMs: number): void;
  /** A stage of a crossing has brought its worker down. */
  fault(crossing: Crossing, stage: number): void;
  /** There is room that was not there before. */
  room(): void;
  /** A guest said something. */
  guest(message: GuestLog | GuestCounters): void;
  /** A worker was stopped or died. */
  stopped(reason: StopReason, problem: string): void;
  /** The pool was closed, and so many workers have not ended. */
  undying(workers: number): void;
}

/** What is told of a worker that was stopped for what it ran. */
export const overrunProblems: Readonly<Record<Overrun["t"], string>> = {
  record: "a record ran too long",
  batch: "a batch ran too long",
  init: "a module took too long to start",
  run: "a batch's records took too long together",
  cancelled: "a batch that nobody waits for did not end",
};
