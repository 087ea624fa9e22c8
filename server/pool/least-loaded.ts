/**
 * Chooses the worker for the next crossing.
 *
 * @module
 */

import type { WorkerHandle } from "./worker-handle.ts";

/**
 * The worker that has room and the least to do.
 *
 * @param last - a worker to be chosen only when there is no other, be it full or about to be ready
 */
export function leastLoaded(
  workers: readonly WorkerHandle[],
  last: WorkerHandle | undefined,
): WorkerHandle | undefined {
  let best: WorkerHandle | undefined;
  let others = false;
  let hasLast = false;
  for (const worker of workers) {
    if (worker === last) {
      hasLast = worker.hasRoom;
      continue;
    }
    others ||= !worker.stalled && (worker.state.t === "ready" || worker.state.t === "starting");
    if (worker.hasRoom && (best === undefined || worker.queued < best.queued)) best = worker;
  }
  return hasLast && !others ? last : best;
}
