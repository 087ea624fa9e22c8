/**
 * The worker threads: enough of them, one warm in reserve, each replaced when it ends.
 *
 * @module
 */

import { Control } from "../bridge/layout.ts";
import { leatError } from "../errors.ts";
import { type Limits, wasmPageBytes } from "../limits.ts";
import type { PoolStats } from "../telemetry/stats.ts";
import type { Crossing } from "./crossing.ts";
import { leastLoaded } from "./least-loaded.ts";
import { overrunProblems, type PoolEvents } from "./pool-events.ts";
import { handBack, recall, tooMany } from "./pool-size.ts";
import { afterLoss, afterOverrun } from "./recovery.ts";
import { type Overrun, type Spent, Watchdog } from "./watchdog.ts";
import { type StopReason, type WorkerEvents, WorkerHandle, type WorkerParts } from "./worker-handle.ts";

/** What the watchdog has stopped a worker for. */
interface Stopped {
  readonly crossing: Crossing;
  readonly overrun: Overrun;
  readonly spent: Spent;
}

/** Workers that die before they were ever ready, in a row, before the pool gives up starting more at once. */
const maxFailedStarts = 5;
/** How long it then waits before it starts another, in milliseconds: doubled each time, up to the second. */
const firstRespawnDelayMs = 100;
const maxRespawnDelayMs = 30_000;

/** The pool of worker threads. */
export class Pool {
  readonly #limits: Readonly<Limits>;
  readonly #events: PoolEvents;
  readonly #stats: PoolStats;
  readonly #parts: WorkerParts;
  readonly #workers: WorkerHandle[] = [];
  readonly #spares: WorkerHandle[] = [];
  readonly #lent = new Set<WorkerHandle>();
  /** Workers that are too many since the limit was lowered: they finish what they run. */
  readonly #leaving = new Set<WorkerHandle>();
  /** Every worker whose thread has not ended, those that are being stopped included. */
  readonly #living = new Set<WorkerHandle>();
  /** Workers that are being stopped for what they ran. */
  readonly #overrun = new Set<WorkerHandle>();
  readonly #watchdog: Watchdog;
  readonly #waitingForSpare: PromiseWithResolvers<WorkerHandle>[] = [];
  #closing = false;
  #failedStarts = 0;

  constructor(parts: WorkerParts, stats: PoolStats, events: PoolEvents) {
    const { limits, clock } = parts;
    this.#limits = limits;
    this.#stats = stats;
    this.#parts = parts;
    this.#events = events;
    this.#watchdog = new Watchdog(
      limits,
      clock,
      () => this.#all(),
      (worker, crossing, overrun, spent) => this.#stopOverrun(worker, { crossing, overrun, spent }),
      (worker) => this.#relieve(worker),
    );
  }

  /** Starts the workers and the spares; resolves when the first worker is ready. */
  async start(): Promise<void> {
    for (let count = 0; count < this.#limits.maxWorkers; count++) this.#workers.push(this.#spawn());
    for (let count = 0; count < this.#limits.maxSpareWorkers; count++) this.#spares.push(this.#spawn());
    while (!this.#workers.some((worker) => worker.state.t === "ready")) {
      if (this.#failedStarts >= maxFailedStarts)
        throw leatError("INTERNAL", { problem: "worker threads do not start" });
      await new Promise<void>((resolve) => this.#whenStarted.push(resolve));
    }
  }

  readonly #whenStarted: (() => void)[] = [];

  /** Hands a crossing to the worker with the least to do, to `last` only when there is no other. @returns undefined when none has room */
  dispatch(crossing: Crossing, last?: WorkerHandle): WorkerHandle | undefined {
    const best = leastLoaded(this.#workers, last);
    best?.submit(crossing);
    this.#watchdog.wake();
    return best;
  }

  /** Wakes the workers that crossings were dispatched to. */
  wake(): void {
    for (const worker of this.#workers) worker.wake();
  }

  /** Hands a crossing to a worker that was {@link borrow}ed. */
  dispatchTo(worker: WorkerHandle, crossing: Crossing): void {
    worker.submit(crossing);
    worker.wake();
    this.#watchdog.wake();
  }

  /** Whether any worker could take a crossing. */
  get hasRoom(): boolean {
    for (const worker of this.#workers) if (worker.hasRoom) return true;
    return false;
  }

  /** Whether no worker has anything to do. */
  get idle(): boolean {
    return this.#all().every((worker) => worker.queued === 0);
  }

  /** Workers that have not ended. */
  get size(): number {
    return this.#living.size;
  }

  /** Reads what was completed, on all workers. */
  drain(): void {
    for (const worker of this.#workers) if (worker.queued > 0) worker.drain();
  }

  /** The main thread will {@link drain} soon: completions need not wake it. */
  disarm(): void {
    for (const worker of this.#workers) if (worker.queued > 0) worker.disarm();
  }

  /** Makes all workers forget a pipeline that no crossing uses any more. */
  drop(pipeline: number): void {
    for (const worker of this.#all()) worker.drop(pipeline);
  }

  /**
   * Takes a ready worker out of the pool, for work that must not hold up the others. Give it back with {@link giveBack}.
   * As many are lent at once as may help out when workers stall, and one: who comes then waits for a turn.
   *
   * @throws LeatError DRAINING when the pool is closed
   */
  borrow(): Promise<WorkerHandle> {
    const turn = Promise.withResolvers<WorkerHandle>();
    if (this.#closing) turn.reject(leatError("DRAINING"));
    else this.#waitingForSpare.push(turn);
    this.#serveWaiting();
    return turn.promise;
  }

  /** Puts a worker back that was borrowed. */
  giveBack(worker: WorkerHandle): void {
    if (!this.#lent.delete(worker) || worker.state.t !== "ready") return;
    this.#makeSpare(worker);
  }

  /** The limits have changed: starts workers that are missing, and lets those leave that are too many. */
  limitsChanged(): void {
    if (this.#closing) return;
    for (const worker of this.#living) worker.limitsChanged();
    while (this.#workers.length < this.#limits.maxWorkers)
      this.#workers.push(recall(this.#leaving) ?? this.#takeSpare() ?? this.#spawn());
    for (const worker of tooMany(this.#workers, this.#limits.maxWorkers)) this.#leave(worker);
    this.#serveWaiting();
    this.#trimSpares();
    this.#events.room();
  }

  #leave(worker: WorkerHandle): void {
    this.#workers.splice(this.#workers.indexOf(worker), 1);
    this.#leaving.add(worker);
    if (worker.state.t === "starting") worker.stop("shutdown");
    for (const crossing of handBack(worker)) this.#events.again(crossing);
    this.#shrink(worker);
  }

  get #mayLend(): boolean {
    return this.#waitingForSpare.length > 0 && this.#lent.size <= this.#limits.maxExtraWorkers;
  }

  /** Figures that change by themselves, brought up to date. */
  refreshStats(): void {
    let instances = 0;
    let instancePages = 0;
    let busy = 0;
    for (const worker of this.#all()) {
      instances += Math.max(0, Atomics.load(worker.memory.words, Control.instances));
      instancePages += Atomics.load(worker.memory.words, Control.instancePages);
      if (worker.queued > 0) busy++;
    }
    this.#stats.instances = instances;
    this.#stats.instanceBytes = instancePages * wasmPageBytes;
    this.#stats.busy = busy;
    this.#count();
  }

  /** Ends all workers. What still runs in them is lost: drain first. */
  async close(): Promise<void> {
    this.#closing = true;
    for (const turn of this.#waitingForSpare.splice(0)) turn.reject(leatError("DRAINING"));
    this.#watchdog.close();
    const all = [...this.#living];
    for (const worker of all) worker.stop("shutdown");
    await Promise.all(all.map((worker) => worker.ended()));
  }

  #all(): WorkerHandle[] {
    return [...this.#workers, ...this.#spares, ...this.#lent, ...this.#leaving];
  }

  #spawn(): WorkerHandle {
    const events: WorkerEvents = {
      ready: () => this.#ready(),
      completed: (worker, crossing, slot, output) => this.#events.completed(worker, crossing, slot, output),
      drained: (worker) => {
        this.#shrink(worker);
        this.#events.room();
      },
      returned: (crossing) => {
        this.#events.again(crossing);
        this.#events.room();
      },
      guest: (message) => this.#events.guest(message),
      dead: (worker, reason, left, running) => this.#dead(worker, reason, left, running),
    };
    const worker = new WorkerHandle(this.#parts, events);
    this.#living.add(worker);
    return worker;
  }

  #ready(): void {
    this.#failedStarts = 0;
    for (const started of this.#whenStarted.splice(0)) started();
    this.#serveWaiting();
    this.#trimSpares();
    this.#count();
    this.#events.room();
  }

  #makeSpare(worker: WorkerHandle): void {
    this.#spares.unshift(worker);
    this.#serveWaiting();
    this.#trimSpares();
    this.#count();
  }

  /** Lends spares to those who wait for them, and sees to it that there will be spares again. */
  #serveWaiting(): void {
    while (this.#mayLend) {
      const worker = this.#takeSpare();
      if (worker === undefined) break;
      this.#lent.add(worker);
      this.#waitingForSpare.shift()?.resolve(worker);
    }
    this.#fillSpares();
    this.#count();
  }

  /**
   * Ends spares that are more than wanted. One more than that stays: it came back, and the one that was started in its
   * place is there for the next who borrows, so that a row of warm-ups starts and ends no thread each time.
   */
  #trimSpares(): void {
    while (this.#spares.length > this.#limits.maxSpareWorkers + 1) {
      const index = this.#spares.findLastIndex((worker) => worker.state.t === "ready");
      if (index < 0) return;
      this.#spares.splice(index, 1)[0]?.stop("shutdown");
    }
  }

  /**
   * A long batch holds a worker up: what waits behind it goes back to the queue, and a spare helps out
   * until the long batch has ended. So one slow module does not hold a machine with few cores.
   */
  #relieve(worker: WorkerHandle): void {
    if (!this.#workers.includes(worker)) return;
    worker.stalled = true;
    const running = this.#workers.filter((other) => !other.stalled).length;
    const most = this.#limits.maxWorkers + this.#limits.maxExtraWorkers;
    if (running < this.#limits.maxWorkers && this.#workers.length < most) {
      this.#workers.push(this.#takeSpare() ?? this.#spawn());
      this.#fillSpares();
      this.#count();
    }
    const { current } = worker;
    const waiting = worker.takeBack();
    if (current !== undefined && waiting.some(({ pipeline }) => pipeline !== current.pipeline))
      current.heldOthers = true;
    for (const crossing of waiting.reverse()) this.#events.again(crossing);
    this.#events.room();
  }

  /** More workers than wanted, and this one has nothing left to do: it becomes a spare or ends. */
  #shrink(worker: WorkerHandle): void {
    if (worker.queued > 0 || worker.state.t !== "ready") return;
    const index = this.#workers.indexOf(worker);
    if (index >= 0) {
      const stalled = this.#workers.some((other) => other.stalled);
      if (stalled || this.#workers.length <= this.#limits.maxWorkers) return;
      this.#workers.splice(index, 1);
    } else if (!this.#leaving.delete(worker)) return;
    this.#makeSpare(worker);
  }

  /** The spare takes over at once, with all that the worker had: the thread may take a while to end. */
  #stopOverrun(worker: WorkerHandle, stopped: Stopped): void {
    if (worker.state.t !== "ready") return;
    const reason = stopped.overrun.t === "cancelled" ? "cancelled" : "timeout";
    worker.stop(reason);
    this.#overrun.add(worker);
    this.#countStopped(reason, overrunProblems[stopped.overrun.t]);
    const { left, running } = worker.abandon();
    if (running !== undefined) this.#blame(worker, running, stopped);
    for (const crossing of [...left].reverse()) this.#events.again(crossing);
    this.#replace(worker);
    this.#events.room();
  }

  #countStopped(reason: StopReason, problem: string): void {
    this.#stats.stopped.set(reason, (this.#stats.stopped.get(reason) ?? 0) + 1);
    this.#events.stopped(reason, problem);
  }

  #dead(
    worker: WorkerHandle,
    reason: StopReason,
    left: readonly Crossing[],
    running: Crossing | undefined,
  ): void {
    const overrun = this.#overrun.delete(worker);
    this.#lent.delete(worker);
    this.#leaving.delete(worker);
    this.#living.delete(worker);
    if (reason !== "shutdown" && !overrun) {
      this.#countStopped(reason, worker.problem);
      this.#failedStarts++;
    }
    for (const started of this.#whenStarted.splice(0)) started();
    if (running !== undefined) this.#blame(worker, running, undefined);
    for (const crossing of [...left].reverse()) this.#events.again(crossing);
    this.#replaceInTime(worker);
    this.#serveWaiting();
    this.#events.room();
  }

  /** Remembers what stopped the worker, so that it is not run again. */
  #blame(worker: WorkerHandle, running: Crossing, stopped: Stopped | undefined): void {
    const { words } = worker.memory;
    this.#events.lost(worker, running, stopped?.spent.cpuMs ?? 0);
    if (stopped !== undefined && stopped.crossing === running) {
      if (stopped.overrun.t !== "cancelled") this.#events.fault(running, stopped.overrun.stage);
      afterOverrun(running, stopped.overrun, stopped.spent);
    } else if (stopped === undefined) {
      this.#events.fault(running, words[Control.currentStage] as number);
      afterLoss(running, words[Control.currentStage] as number, words[Control.currentRecord] as number);
    }
  }

  /** Threads that die again and again before they are ready are started again ever more slowly. */
  #replaceInTime(worker: WorkerHandle): void {
    const excess = this.#failedStarts - maxFailedStarts;
    if (excess < 0) {
      if (!this.#closing) this.#replace(worker);
      return;
    }
    const again = (): void => {
      if (!this.#closing) this.#replace(worker);
    };
    setTimeout(again, Math.min(maxRespawnDelayMs, firstRespawnDelayMs * 2 ** excess)).unref();
  }

  /** Puts a spare in a worker's place. */
  #replace(worker: WorkerHandle): void {
    const index = this.#workers.indexOf(worker);
    const spareIndex = this.#spares.indexOf(worker);
    if (spareIndex >= 0) this.#spares.splice(spareIndex, 1);
    if (index >= 0 && this.#workers.length > this.#limits.maxWorkers) {
      this.#workers.splice(index, 1);
    } else if (index >= 0) {
      this.#workers[index] = this.#takeSpare() ?? this.#spares.shift() ?? this.#spawn();
    }
    this.#fillSpares();
  }

  /** A spare that is ready. */
  #takeSpare(): WorkerHandle | undefined {
    const index = this.#spares.findIndex((spare) => spare.state.t === "ready");
    return index < 0 ? undefined : this.#spares.splice(index, 1)[0];
  }

  #fillSpares(): void {
    if (this.#closing || this.#failedStarts >= maxFailedStarts) return;
    const wanted = Math.max(this.#limits.maxSpareWorkers, this.#mayLend ? 1 : 0);
    while (this.#spares.length < wanted) this.#spares.push(this.#spawn());
  }

  #count(): void {
    this.#stats.workers = this.#workers.filter((worker) => worker.state.t === "ready").length;
    this.#stats.spares = this.#spares.filter((worker) => worker.state.t === "ready").length;
  }
}
