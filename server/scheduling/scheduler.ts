/**
 * The one loop that moves batches from the queue into workers.
 *
 * It runs once in a turn of the event loop, after the turn's input was read: so what arrived together
 * is handed over together, and what workers completed meanwhile is read without waking anyone.
 *
 * @module
 */

import type { BatchJob } from "../pool/batch-job.ts";
import type { Crossing } from "../pool/crossing.ts";
import type { Pool } from "../pool/pool.ts";
import { FairQueue, type MergeBounds } from "./fair-queue.ts";

/** Places waiting batches with workers. */
export class Scheduler {
  readonly #queue: FairQueue;
  readonly #pool: () => Pool;
  #planned = false;

  /** @param pool - asked for late, since the pool's events come here */
  constructor(bounds: MergeBounds, pool: () => Pool) {
    this.#queue = new FairQueue(bounds);
    this.#pool = pool;
  }

  /** Takes a batch that was admitted. */
  submit(job: BatchJob): void {
    this.#queue.push(job);
    this.#plan();
  }

  /** Takes a crossing back that has to run again. */
  again(crossing: Crossing): void {
    this.#queue.again(crossing);
    this.#plan();
  }

  /** There is room in a worker that was not there before. */
  room(): void {
    if (!this.#planned && !this.#queue.empty) this.#place();
  }

  #plan(): void {
    if (this.#planned) return;
    this.#planned = true;
    this.#pool().disarm();
    setImmediate(this.#turn);
  }

  readonly #turn = (): void => {
    this.#planned = false;
    this.#place();
    // Reading completions makes room, and room() places what still waits.
    this.#pool().drain();
  };

  #place(): void {
    const pool = this.#pool();
    while (!this.#queue.empty && pool.hasRoom) {
      const crossing = this.#queue.take();
      if (crossing === undefined) return;
      if (!pool.dispatch(crossing)) {
        this.#queue.again(crossing);
        return;
      }
    }
  }
}
