/**
 * Stops guests that run for too long.
 *
 * It looks at what each worker says in shared memory a few hundred times a second and remembers since when
 * that has not changed, so that a worker needs to read no clock for a record.
 *
 * @module
 */

import { Control, Phase } from "../bridge/layout.ts";
import type { Clock } from "../clock.ts";
import type { Limits } from "../limits.ts";
import type { Crossing } from "./crossing.ts";
import type { WorkerHandle } from "./worker-handle.ts";

/** How often the watchdog looks, in milliseconds: how late a limit may be noticed. */
export const watchIntervalMs = 5;

/** What overran, found by the watchdog. */
export type Overrun =
  | { readonly t: "record"; readonly stage: number; readonly record: number }
  | { readonly t: "batch"; readonly stage: number }
  | { readonly t: "init"; readonly stage: number }
  | { readonly t: "run"; readonly stage: number }
  | { readonly t: "cancelled" };

interface Observation {
  begun: number;
  runSinceMs: number;
  guestCalls: number;
  record: number;
  callSinceMs: number;
  recordSinceMs: number;
}

/** Watches workers while any of them has work. A long call into a guest first counts as a stall, then as an overrun. */
export class Watchdog {
  readonly #limits: Readonly<Limits>;
  readonly #clock: Clock;
  readonly #workers: () => Iterable<WorkerHandle>;
  readonly #onOverrun: (worker: WorkerHandle, crossing: Crossing, overrun: Overrun) => void;
  readonly #onStall: (worker: WorkerHandle) => void;
  readonly #seen = new WeakMap<WorkerHandle, Observation>();
  #timer: NodeJS.Timeout | undefined;

  constructor(
    limits: Readonly<Limits>,
    clock: Clock,
    workers: () => Iterable<WorkerHandle>,
    onOverrun: (worker: WorkerHandle, crossing: Crossing, overrun: Overrun) => void,
    onStall: (worker: WorkerHandle) => void,
  ) {
    this.#limits = limits;
    this.#clock = clock;
    this.#workers = workers;
    this.#onOverrun = onOverrun;
    this.#onStall = onStall;
  }

  /** There is work: watch until there is none. */
  wake(): void {
    if (this.#timer !== undefined) return;
    this.#timer = setInterval(() => this.look(), watchIntervalMs);
    this.#timer.unref();
  }

  /** Stops watching. */
  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Looks once at every worker. */
  look(): void {
    let working = false;
    for (const worker of this.#workers()) {
      if (worker.queued === 0) continue;
      working = true;
      if (worker.state.t === "ready") this.#lookAt(worker);
    }
    if (!working) this.close();
  }

  #lookAt(worker: WorkerHandle): void {
    const { words } = worker.memory;
    const crossing = worker.current;
    const phase = Atomics.load(words, Control.currentPhase);
    if (crossing === undefined || phase === Phase.idle) return;
    const nowMs = this.#clock.nowMs();
    const seen = this.#observe(worker, nowMs);
    const overrun = this.#judge(worker, crossing, phase, seen, nowMs);
    if (overrun !== undefined) this.#onOverrun(worker, crossing, overrun);
    else if (!worker.stalled && nowMs - seen.callSinceMs > this.#limits.maxStallMs) this.#onStall(worker);
  }

  #observe(worker: WorkerHandle, nowMs: number): Observation {
    const { words } = worker.memory;
    const guestCalls = Atomics.load(words, Control.guestCalls);
    const record = Atomics.load(words, Control.currentRecord);
    const begun = Atomics.load(words, Control.begun);
    let seen = this.#seen.get(worker);
    if (seen === undefined) {
      seen = {
        begun: begun - 1,
        runSinceMs: nowMs,
        guestCalls: guestCalls - 1,
        record,
        callSinceMs: nowMs,
        recordSinceMs: nowMs,
      };
      this.#seen.set(worker, seen);
    }
    if (seen.begun !== begun) {
      seen.begun = begun;
      seen.runSinceMs = nowMs;
    }
    if (seen.guestCalls !== guestCalls) {
      seen.guestCalls = guestCalls;
      seen.callSinceMs = nowMs;
      seen.record = record;
      seen.recordSinceMs = nowMs;
    } else if (seen.record !== record) {
      seen.record = record;
      seen.recordSinceMs = nowMs;
    }
    return seen;
  }

  #judge(
    worker: WorkerHandle,
    crossing: Crossing,
    phase: number,
    seen: Observation,
    nowMs: number,
  ): Overrun | undefined {
    const stage = Atomics.load(worker.memory.words, Control.currentStage);
    const spec = crossing.pipeline.spec.stages[stage];
    if (spec === undefined) return undefined;
    const inCallMs = nowMs - seen.callSinceMs;
    if (crossing.cancelledMs !== undefined && nowMs - crossing.cancelledMs > this.#limits.maxCancelGraceMs) {
      return inCallMs > this.#limits.maxCancelGraceMs ? { t: "cancelled" } : undefined;
    }
    if (phase === Phase.init) return inCallMs > this.#limits.maxInitMs ? { t: "init", stage } : undefined;
    if (seen.record >= 0 && nowMs - seen.recordSinceMs > spec.recordTimeoutMs) {
      return { t: "record", stage, record: seen.record };
    }
    if (inCallMs > spec.batchTimeoutMs) return { t: "batch", stage };
    // Records that run one by one each keep their own limit; together they must not hold a worker for hours.
    return nowMs - seen.runSinceMs > allowedRunMs(crossing, this.#limits) ? { t: "run", stage } : undefined;
  }
}

/** How long one run of a crossing may take over all its stages, faults and runs record by record included. */
function allowedRunMs({ pipeline }: Crossing, { maxFaultsPerBatch }: Readonly<Limits>): number {
  let batchesMs = 0;
  for (const { batchTimeoutMs } of pipeline.spec.stages) batchesMs += batchTimeoutMs;
  return (maxFaultsPerBatch + 2) * batchesMs;
}
