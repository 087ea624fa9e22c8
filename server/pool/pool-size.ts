/**
 * How many workers there are: whether another may run, and, of fewer, who leaves and what becomes of its work.
 *
 * @module
 */

import type { Crossing } from "./crossing.ts";
import type { WorkerHandle } from "./worker-handle.ts";

/**
 * The workers that are too many: those with the least to do. Workers that a long batch holds up do not count, since they
 * have helpers that leave by themselves once it has ended.
 */
export function tooMany(workers: readonly WorkerHandle[], maxWorkers: number): WorkerHandle[] {
  const running = workers.filter((worker) => !worker.stalled);
  running.sort((one, other) => one.queued - other.queued);
  return running.slice(0, Math.max(0, running.length - maxWorkers));
}

/**
 * Whether another worker may run beside these: not while as many run as are wanted, nor beyond the most that there may be.
 * Workers that a long batch holds up do not run, nor do those that have ended and wait for another in their place.
 */
export function mayRunAnother(workers: readonly WorkerHandle[], maxWorkers: number, most: number): boolean {
  const running = workers.filter(({ stalled, state }) => !stalled && state.t !== "dead");
  return running.length < maxWorkers && workers.length < most;
}

/**
 * Takes back what a worker has not begun, so that it is left with what it runs, which it finishes. From then on it tells
 * of each completion itself.
 *
 * @returns what is to run elsewhere, the last first
 */
export function handBack(worker: WorkerHandle): Crossing[] {
  worker.wake();
  const waiting = worker.takeBack().reverse();
  worker.drain();
  return waiting;
}

/** Takes a worker out of those that are about to leave, unless none of them can go on. */
export function recall(leaving: Set<WorkerHandle>): WorkerHandle | undefined {
  const worker = [...leaving].find(({ state }) => state.t === "ready");
  if (worker !== undefined) leaving.delete(worker);
  return worker;
}
