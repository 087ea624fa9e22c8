/**
 * Stops guests that run for too long.
 *
 * It looks at what each worker says in shared memory a few hundred times a second and remembers since when
 * that has not changed, so that a worker needs to read no clock for a record.
 *
 * Time over a limit by the clock is a reason to look at the thread's processor time: on a busy machine a thread may
 * wait long for its turn, which is not its guest's fault. It has overrun when it had the processor for at least half of that time,
 * else when it has had it for so long, or by the clock alone after `maxWallTimeFactor` times its limit.
 *
 * @module
 */

import { Control, Phase } from "../bridge/layout.ts";
import type { Clock } from "../clock.ts";
import type { BatchLimits } from "../limit-changes.ts";
import type { Limits } from "../limits.ts";
import type { Crossing } from "./crossing.ts";
import type { WorkerHandle } from "./worker-handle.ts";

/** How often the watchdog looks, in milliseconds: how late a limit may be noticed. */
export const watchIntervalMs = 2;

/** The share of its limit that a thread must have had on a processor to be stopped at its limit by the clock. */
const cpuShare = 0.5;

/** What overran, found by the watchdog. */
export type Overrun =
  | { readonly t: "record"; readonly stage: number; readonly record: number }
  | { readonly t: "batch"; readonly stage: number }
  | { readonly t: "init"; readonly stage: number }
  | { readonly t: "run"; readonly stage: number }
  | { readonly t: "cancelled" };

/** What something had taken when it was stopped. */
export interface Spent {
  /** How long the run has taken, less what its thread waited for a processor. */
  readonly ranMs: number;
  /** What the run had of a processor; where nobody tells that, what the clock says. */
  readonly cpuMs: number;
  /** What was over its limit (the record, the batch or the start) by the clock, and what it had of a processor, where that is told. */
  readonly measured: { readonly wallMs: number; readonly cpuMs: number | undefined };
}

/** Stops the worker. */
export type OnOverrun = (worker: WorkerHandle, crossing: Crossing, overrun: Overrun, spent: Spent) => void;

/** When something was first seen: by the clock, and by the thread's processor time where that is told. */
interface Since {
  wallMs: number;
  cpuMs: number | undefined;
}

interface Observation {
  begun: number;
  guestCalls: number;
  record: number;
  readonly run: Since;
  readonly call: Since;
  readonly named: Since;
}

/** Watches workers while any of them has work. A long call into a guest first counts as a stall, then as an overrun. */
export class Watchdog {
  readonly #limits: Readonly<Limits>;
  readonly #clock: Clock;
  readonly #workers: () => Iterable<WorkerHandle>;
  readonly #onOverrun: OnOverrun;
  readonly #onStall: (worker: WorkerHandle) => void;
  readonly #seen = new WeakMap<WorkerHandle, Observation>();
  #timer: NodeJS.Timeout | undefined;

  constructor(
    limits: Readonly<Limits>,
    clock: Clock,
    workers: () => Iterable<WorkerHandle>,
    onOverrun: OnOverrun,
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
      // A worker that goes on at once with the next batch does not tell of a short one: should the next be long, nobody would.
      if (worker.hasCompleted) worker.drain();
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
    if (overrun !== undefined)
      this.#onOverrun(worker, crossing, overrun, {
        ranMs: this.#ranMs(worker, crossing, seen.run, nowMs),
        cpuMs: cpuMsSince(worker, seen.run, nowMs),
        measured: measuredSince(worker, overSince(overrun, seen), nowMs),
      });
    else if (!worker.stalled && this.#isStall(worker, phase, seen, nowMs)) this.#onStall(worker);
  }

  /** The host's own work is short unless a batch makes it long: what a thread waits for a processor meanwhile is no reason for another worker. */
  #isStall(worker: WorkerHandle, phase: number, { call }: Observation, nowMs: number): boolean {
    const { maxStallMs } = this.#limits;
    if (nowMs - call.wallMs <= maxStallMs) return false;
    return phase !== Phase.host || cpuMsSince(worker, call, nowMs) > maxStallMs;
  }

  #observe(worker: WorkerHandle, nowMs: number): Observation {
    const { words } = worker.memory;
    const guestCalls = Atomics.load(words, Control.guestCalls);
    const record = Atomics.load(words, Control.currentRecord);
    const begun = Atomics.load(words, Control.begun);
    let seen = this.#seen.get(worker);
    if (seen === undefined) {
      const since = (): Since => ({ wallMs: nowMs, cpuMs: undefined });
      seen = {
        begun: begun - 1,
        guestCalls: guestCalls - 1,
        record,
        run: since(),
        call: since(),
        named: since(),
      };
      this.#seen.set(worker, seen);
    }
    const nextRun = seen.begun !== begun;
    const nextCall = nextRun || seen.guestCalls !== guestCalls;
    const nextRecord = nextCall || seen.record !== record;
    if (!nextRun && !nextRecord) return seen;
    const cpuMs = worker.cpu.usedMs();
    if (nextRun) mark(seen.run, nowMs, cpuMs);
    if (nextCall) mark(seen.call, nowMs, cpuMs);
    if (nextRecord) mark(seen.named, nowMs, cpuMs);
    seen.begun = begun;
    seen.guestCalls = guestCalls;
    seen.record = record;
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
    const { limits, stages } = crossing.pipeline.spec;
    const spec = stages[stage];
    if (spec === undefined) return undefined;
    if (crossing.cancelledMs !== undefined && nowMs - crossing.cancelledMs > limits.maxCancelGraceMs) {
      return nowMs - seen.call.wallMs > limits.maxCancelGraceMs ? { t: "cancelled" } : undefined;
    }
    // What the host does is bounded by what batches and results may hold, and no guest is to blame for it.
    if (phase === Phase.host) return undefined;
    const over = (since: Since, limitMs: number): boolean =>
      this.#isOver(worker, since, limitMs, limits, nowMs);
    if (phase === Phase.init) return over(seen.call, limits.maxInitMs) ? { t: "init", stage } : undefined;
    if (seen.record >= 0 && over(seen.named, spec.recordTimeoutMs)) {
      return { t: "record", stage, record: seen.record };
    }
    if (over(seen.call, spec.batchTimeoutMs)) return { t: "batch", stage };
    // Records that run one by one each keep their own limit; together they must not hold a worker for hours.
    return over(seen.run, allowedRunMs(crossing)) ? { t: "run", stage } : undefined;
  }

  /** Whether something has run for longer than it may. */
  #isOver(
    worker: WorkerHandle,
    since: Since,
    limitMs: number,
    { maxWallTimeFactor }: BatchLimits,
    nowMs: number,
  ): boolean {
    const wallMs = nowMs - since.wallMs;
    if (wallMs <= limitMs) return false;
    if (since.cpuMs === undefined || wallMs > limitMs * maxWallTimeFactor) return true;
    const cpuMs = worker.cpu.usedMs();
    return cpuMs === undefined || cpuMs - since.cpuMs >= limitMs * cpuShare;
  }

  /** At least its limit for whatever was stopped, so that so many stops of so long a limit use a crossing's time up. */
  #ranMs(worker: WorkerHandle, { pipeline }: Crossing, since: Since, nowMs: number): number {
    const wallMs = nowMs - since.wallMs;
    const cpuMs = since.cpuMs === undefined ? undefined : worker.cpu.usedMs();
    if (cpuMs === undefined || since.cpuMs === undefined) return wallMs;
    const runningMs = (cpuMs - since.cpuMs) / cpuShare;
    return Math.max(Math.min(wallMs, runningMs), wallMs / pipeline.spec.limits.maxWallTimeFactor);
  }
}

function cpuMsSince(worker: WorkerHandle, since: Since, nowMs: number): number {
  const cpuMs = since.cpuMs === undefined ? undefined : worker.cpu.usedMs();
  return cpuMs === undefined || since.cpuMs === undefined ? nowMs - since.wallMs : cpuMs - since.cpuMs;
}

/** Since when what is over its limit was seen. */
function overSince({ t }: Overrun, { named, call, run }: Observation): Since {
  return t === "record" ? named : t === "run" ? run : call;
}

function measuredSince(worker: WorkerHandle, since: Since, nowMs: number): Spent["measured"] {
  const cpuMs = since.cpuMs === undefined ? undefined : worker.cpu.usedMs();
  const spent = cpuMs === undefined || since.cpuMs === undefined ? undefined : cpuMs - since.cpuMs;
  return { wallMs: nowMs - since.wallMs, cpuMs: spent };
}

function mark(since: Since, wallMs: number, cpuMs: number | undefined): void {
  since.wallMs = wallMs;
  since.cpuMs = cpuMs;
}

/** How long one run of a crossing may take over all its stages, faults and runs record by record included. */
function allowedRunMs({ pipeline }: Crossing): number {
  const { limits, stages } = pipeline.spec;
  let batchesMs = 0;
  for (const { batchTimeoutMs } of stages) batchesMs += batchTimeoutMs;
  return (limits.maxFaultsPerBatch + 2) * batchesMs;
}
