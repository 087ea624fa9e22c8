/**
 * The one loop that moves batches from the queue into workers.
 *
 * It runs in a turn of the event loop, after the turn's input was read: what arrived together is handed over
 * together, and what workers completed meanwhile is read without waking anyone. Waking a sleeping
 * worker costs as much as running a small batch, so small calls, which share a crossing, are waited for as long as each turn
 * brings more, within bounds. Where calls come faster than they can be answered a turn takes tens of milliseconds, most of them for
 * those that are refused: then workers are looked after in the midst of it, or they would wait for work while it waits for them.
 *
 * @module
 */

import type { PipelineSpec } from "../bridge/pipeline-spec.ts";
import type { BatchJob } from "../pool/batch-job.ts";
import type { Crossing } from "../pool/crossing.ts";
import type { Pool } from "../pool/pool.ts";
import { FairQueue, type MergeBounds } from "./fair-queue.ts";
import type { Lane } from "./lane.ts";

/** Workers are woken when a turn brought no small call, and after so many turns that did. */
const maxHeldTurns = 3;

/** Workers wait no longer than that, in milliseconds, for the end of a turn that calls make long. */
const maxTurnMs = 2;

/** Places waiting batches with workers. */
export class Scheduler {
  readonly #queue: FairQueue;
  readonly #pool: () => Pool;
  readonly #admit: (crossing: Crossing) => boolean;
  readonly #onWithdrawn: (job: BatchJob) => void;
  readonly #lane: Lane;
  #planned = false;
  /** Whether a small call came since the last turn. */
  #fresh = false;
  #heldTurns = 0;
  /** When workers were looked after last, or the first batch came that has waited since, in milliseconds since the Unix epoch. */
  #lookedMs = 0;
  #keepingUp = false;

  /**
   * @param pool - asked for late, since the pool's events come here
   * @param admit - asked before a crossing goes to a worker; false when it was answered instead
   * @param onWithdrawn - is told of each batch that is cancelled while it waits
   * @param lane - where known offenders go
   */
  constructor(
    bounds: MergeBounds,
    pool: () => Pool,
    admit: (crossing: Crossing) => boolean,
    onWithdrawn: (job: BatchJob) => void,
    lane: Lane,
  ) {
    this.#queue = new FairQueue(bounds);
    this.#pool = pool;
    this.#admit = admit;
    this.#onWithdrawn = (job) => {
      // What deals with its failures has it, not the queue.
      if (job.aftermath === undefined) this.#queue.withdraw(job);
      onWithdrawn(job);
    };
    this.#lane = lane;
  }

  /** Takes a batch that was admitted. */
  submit(job: BatchJob): void {
    job.onWithdrawn = this.#onWithdrawn;
    const { spec, backlog } = job.pipeline;
    if (this.startsNow(spec)) backlog.foundFree(job.admittedMs);
    if (this.#queue.empty) this.#lookedMs = job.admittedMs;
    this.#queue.push(job);
    this.#plan();
    if (job.mergeable) this.#fresh = true;
  }

  /** Takes a crossing back that has to run again. */
  again(crossing: Crossing): void {
    crossing.waits();
    this.#queue.again(crossing);
    this.#plan();
  }

  /** Whether nothing waits, and a worker has room. */
  get idle(): boolean {
    return this.#queue.empty && this.#pool().hasRoom;
  }

  /** Whether a batch of the pipeline would have a worker for itself at once. */
  startsNow(pipeline: PipelineSpec): boolean {
    if (!this.#queue.empty || !this.#pool().hasFreeWorker) return false;
    return this.#lane.unused || !this.#lane.confines(pipeline);
  }

  /** Whether nothing waits. */
  get empty(): boolean {
    return this.#queue.empty;
  }

  /** Whether batches of other pipelines wait, those aside that are confined. */
  othersWait(crossing: Crossing): boolean {
    return this.#queue.waitsBeside(crossing.pipeline.spec.id, this.#lane.confines);
  }

  /** A pipeline is not used any more. */
  forget(pipeline: number): void {
    this.#queue.forget(pipeline);
  }

  /** A call comes, in a turn that may be long: reads what workers have completed and gives them more, if that was long ago. */
  keepUp(nowMs: number): void {
    if (nowMs - this.#lookedMs < maxTurnMs || this.#queue.empty || this.#keepingUp) return;
    this.#lookedMs = nowMs;
    // What is answered may bring another call.
    this.#keepingUp = true;
    try {
      const pool = this.#pool();
      pool.drain();
      this.#place();
      pool.wake();
    } finally {
      this.#keepingUp = false;
    }
  }

  /** There is room in a worker that was not there before. */
  room(): void {
    if (this.#planned || this.#queue.empty) return;
    this.#place();
    this.#pool().wake();
  }

  #plan(): void {
    if (this.#planned) return;
    this.#planned = true;
    this.#heldTurns = 0;
    this.#pool().disarm();
    setImmediate(this.#turn);
  }

  readonly #turn = (): void => {
    const pool = this.#pool();
    if (this.#fresh && this.#heldTurns < maxHeldTurns) {
      this.#fresh = false;
      this.#heldTurns++;
      setImmediate(this.#turn);
      return;
    }
    this.#planned = false;
    this.#fresh = false;
    this.#place();
    pool.wake();
    // Reading completions makes room, and room() places what still waits.
    pool.drain();
  };

  #place(): void {
    const pool = this.#pool();
    while (!this.#queue.empty && pool.hasRoom) {
      const crossing = this.#queue.take(this.#mayEnter(pool) ? undefined : this.#lane.confines);
      if (crossing === undefined) return;
      if (!this.#admit(crossing)) continue;
      if (!this.#dispatch(pool, crossing)) {
        this.#queue.again(crossing);
        return;
      }
    }
  }

  /** Whether an offender's crossing could go next. */
  #mayEnter(pool: Pool): boolean {
    return this.#lane.free && (this.#lane.unused || pool.lane?.makeRoom() !== false);
  }

  #dispatch(pool: Pool, crossing: Crossing): boolean {
    const confined = !this.#lane.unused && this.#lane.confines(crossing.pipeline.spec);
    if (confined && pool.lane !== undefined) {
      pool.dispatchToLane(crossing);
      this.#lane.enter(crossing);
      return true;
    }
    const worker = pool.dispatch(crossing, this.#lane.worker);
    if (worker !== undefined && confined) this.#lane.enter(crossing, worker);
    return worker !== undefined;
  }
}
