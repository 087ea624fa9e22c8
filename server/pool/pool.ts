/**
 * The worker threads: enough of them, one warm in reserve, each replaced when it ends.
 *
 * @module
 */

import { Control } from "../bridge/layout.ts";
import { leatError } from "../errors.ts";
import { type Limits, wasmPageBytes } from "../limits.ts";
import type { PoolStats } from "../telemetry/stats.ts";
import { blameDead, blameStopped, type Stopped } from "./blame.ts";
import type { Crossing } from "./crossing.ts";
import { endAll } from "./endings.ts";
import { FailedStarts } from "./failed-starts.ts";
import { LaneWorker } from "./lane-worker.ts";
import { leastLoaded } from "./least-loaded.ts";
import { overrunProblems, type PoolEvents } from "./pool-events.ts";
import { handBack, mayRunAnother, recall, tooMany } from "./pool-size.ts";
import { Spares } from "./spares.ts";
import { Watchdog } from "./watchdog.ts";
import { type StopReason, type WorkerEvents, WorkerHandle, type WorkerParts } from "./worker-handle.ts";

/** The pool of worker threads. */
export class Pool {
  readonly #limits: Readonly<Limits>;
  readonly #events: PoolEvents;
  readonly #stats: PoolStats;
  readonly #parts: WorkerParts;
  readonly #workers: WorkerHandle[] = [];
  readonly #spares = new Spares(
    () => this.#spawn(),
    () => this.#fillSpares(),
  );
  readonly #lent = new Set<WorkerHandle>();
  /** Workers that are too many since the limit was lowered: they finish what they run. */
  readonly #leaving = new Set<WorkerHandle>();
  /** Every worker whose thread has not ended, those that are being stopped included. */
  readonly #living = new Set<WorkerHandle>();
  /** Workers that are being stopped for what they ran. */
  readonly #overrun = new Set<WorkerHandle>();
  readonly #watchdog: Watchdog;
  readonly #lane: LaneWorker;
  readonly #waitingForSpare: PromiseWithResolvers<WorkerHandle>[] = [];
  #closing = false;
  readonly #failedStarts = new FailedStarts();

  constructor(parts: WorkerParts, stats: PoolStats, events: PoolEvents) {
    const { limits, clock } = parts;
    this.#limits = limits;
    this.#stats = stats;
    this.#parts = parts;
    this.#events = events;
    this.#lane = new LaneWorker(limits, () => this.#laneWorker());
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
    this.#spares.fill(this.#limits.maxSpareWorkers, true);
    while (!this.#workers.some((worker) => worker.state.t === "ready")) {
      if (this.#failedStarts.tooMany) throw leatError("INTERNAL", { problem: "worker threads do not start" });
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

  /** The worker of the lane, where the limits allow one beside the others. Hand a crossing to it with {@link dispatchToLane}. */
  get lane(): Pick<LaneWorker, "makeRoom"> | undefined {
    return this.#lane.offered ? this.#lane : undefined;
  }

  /** Hands a crossing to the worker of the lane. Call only when that has room. */
  dispatchToLane(crossing: Crossing): void {
    this.#lane.submit(crossing);
    this.#watchdog.wake();
  }

  /** Nobody is confined any more. */
  closeLane(): void {
    this.#lane.rest();
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

  /** Whether a worker that could take a crossing has none. */
  get hasFreeWorker(): boolean {
    for (const worker of this.#workers) if (worker.queued === 0 && worker.hasRoom) return true;
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
      this.#workers.push(recall(this.#leaving) ?? this.#spares.take() ?? this.#spawn());
    for (const worker of tooMany(this.#workers, this.#limits.maxWorkers)) this.#leave(worker);
    this.#serveWaiting();
    this.#spares.trim(this.#limits.maxSpareWorkers);
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

  /** Ends all workers, and waits for their threads as long as those may take. What still runs in them is lost: drain first. */
  async close(): Promise<void> {
    this.#closing = true;
    for (const turn of this.#waitingForSpare.splice(0)) turn.reject(leatError("DRAINING"));
    this.#watchdog.close();
    this.#spares.close();
    await endAll([...this.#living], (left) => this.#events.undying(left));
  }

  #all(): WorkerHandle[] {
    const all = [...this.#workers, ...this.#spares, ...this.#lent, ...this.#leaving];
    return this.#lane.worker === undefined ? all : [...all, this.#lane.worker];
  }

  /** A worker for the lane. */
  #laneWorker(): WorkerHandle | undefined {
    if (this.#closing || !this.#failedStarts.mayStart) return undefined;
    return this.#takeOver();
  }

  #spawn(): WorkerHandle {
    const events: WorkerEvents = {
      ready: () => this.#ready(),
      completed: (worker, crossing, slot, output) => this.#events.completed(worker, crossing, slot, output),
      drained: (worker) => {
        this.#shrink(worker);
        this.#lane.endUnused();
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
    this.#failedStarts.clear();
    for (const started of this.#whenStarted.splice(0)) started();
    this.#serveWaiting();
    this.#spares.trim(this.#limits.maxSpareWorkers);
    this.#count();
    this.#events.room();
  }

  #makeSpare(worker: WorkerHandle): void {
    this.#spares.putBack(worker);
    this.#serveWaiting();
    this.#spares.trim(this.#limits.maxSpareWorkers);
    this.#count();
  }

  /** Lends spares to those who wait for them, and sees to it that there will be spares again. */
  #serveWaiting(): void {
    while (this.#mayLend) {
      const worker = this.#spares.take();
      if (worker === undefined) break;
      this.#lent.add(worker);
      this.#waitingForSpare.shift()?.resolve(worker);
    }
    this.#fillSpares();
    this.#count();
  }

  /**
   * A long batch holds a worker up: what waits behind it goes back to the queue, and a spare helps out
   * until the long batch has ended. So one slow module does not hold a machine with few cores.
   */
  #relieve(worker: WorkerHandle): void {
    if (this.#lane.stalled(worker) || !this.#workers.includes(worker)) return;
    worker.stalled = true;
    if (this.#mayRunBeside(this.#workers)) {
      this.#workers.push(this.#takeOver());
      this.#count();
    }
    const { current } = worker;
    const waiting = worker.takeBack();
    if (current !== undefined && waiting.some(({ pipeline }) => pipeline !== current.pipeline))
      current.heldOthers = true;
    for (const crossing of waiting.reverse()) this.#events.again(crossing);
    this.#events.room();
  }

  #mayRunBeside(workers: readonly WorkerHandle[]): boolean {
    const { maxWorkers, maxExtraWorkers } = this.#limits;
    const most = maxWorkers + maxExtraWorkers - (this.#lane.worker === undefined ? 0 : 1);
    // The lane takes no place of those that are wanted.
    return mayRunAnother(workers, maxWorkers, Math.max(maxWorkers, most));
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
    this.#lane.gone(worker);
    if (running !== undefined) blameStopped(this.#events, worker, running, stopped);
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
    this.#lane.gone(worker);
    if (reason !== "shutdown" && !overrun) {
      this.#countStopped(reason, worker.problem);
      if (!worker.started) this.#failedStarts.add();
    }
    for (const started of this.#whenStarted.splice(0)) started();
    blameDead(this.#events, worker, running, left);
    for (const crossing of [...left].reverse()) this.#events.again(crossing);
    this.#spares.gone(worker);
    this.#failedStarts.whenDue(() => {
      if (!this.#closing) this.#replace(worker);
      this.#settle();
    });
    this.#settle();
  }

  /** Workers are others than before: who waits for one may have it. */
  #settle(): void {
    this.#serveWaiting();
    this.#events.room();
  }

  /** Puts a spare in a worker's place, where one is missed: others may run already that helped out. */
  #replace(worker: WorkerHandle): void {
    const index = this.#workers.indexOf(worker);
    this.#spares.gone(worker);
    if (index >= 0) {
      const missed = this.#mayRunBeside(this.#workers.filter((other) => other !== worker));
      this.#workers.splice(index, 1, ...(missed ? [this.#takeOver()] : []));
    }
    this.#fillSpares();
  }

  /** A worker for what another does not do any more: warm if there is one. */
  #takeOver(): WorkerHandle {
    const warm = this.#spares.take();
    if (warm !== undefined) this.#spares.hold();
    const worker = warm ?? this.#spares.takeStarting() ?? this.#spawn();
    this.#fillSpares();
    return worker;
  }

  #fillSpares(): void {
    if (this.#closing || !this.#failedStarts.mayStart) return;
    const lends = this.#mayLend;
    this.#spares.fill(Math.max(this.#limits.maxSpareWorkers, lends ? 1 : 0), lends);
  }

  #count(): void {
    this.#stats.workers = this.#workers.filter((worker) => worker.state.t === "ready").length;
    this.#stats.spares = this.#spares.ready;
  }
}
