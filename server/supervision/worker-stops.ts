/**
 * Counts how often modules bring their workers down, so that one which keeps doing so can be held.
 *
 * A breaker opens for seconds and lets the module try again; each try costs a worker. What breaks workers minute after
 * minute is held like a module that aborts the process. What counts is a stop for time, for memory or by a crash while the
 * module ran; that all callers went away is not its doing.
 *
 * @module
 */

import type { Limits } from "../limits.ts";

/** Modules that are counted at once; the one whose last stop is the longest ago gives way. */
const maxCounted = 1_000;

/** Stops of workers, by module. */
export class WorkerStops {
  readonly #limits: Pick<Limits, "maxWorkerStops" | "workerStopWindowMs">;
  /** When each module stopped workers, in the order of their last stops. At most `maxWorkerStops` times each. */
  readonly #times = new Map<string, number[]>();

  constructor(limits: Pick<Limits, "maxWorkerStops" | "workerStopWindowMs">) {
    this.#limits = limits;
  }

  /** A module has stopped a worker. @returns whether that was once too often; the count begins anew then */
  note(digest: string, nowMs: number): boolean {
    const { maxWorkerStops, workerStopWindowMs } = this.#limits;
    if (maxWorkerStops === 0) return false;
    const times = (this.#times.get(digest) ?? []).filter((atMs) => atMs > nowMs - workerStopWindowMs);
    this.#times.delete(digest);
    times.push(nowMs);
    if (times.length >= maxWorkerStops) return true;
    this.#times.set(digest, times);
    for (const oldest of this.#times.keys()) {
      if (this.#times.size <= maxCounted) break;
      this.#times.delete(oldest);
    }
    return false;
  }
}
