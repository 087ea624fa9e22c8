/**
 * The worker that runs what is confined, apart from those that serve all: no batch of others waits behind an offender's, and what
 * is stopped for it is no worker that others have warmed up. Once a call into a guest becomes long there, its thread has the lowest claim
 * on a processor that the others leave.
 *
 * @module
 */

import type { Limits } from "../limits.ts";
import type { Crossing } from "./crossing.ts";
import type { WorkerHandle } from "./worker-handle.ts";

/** A worker of its own for offenders, for as long as there are any. */
export class LaneWorker {
  readonly #limits: Pick<Limits, "maxExtraWorkers">;
  readonly #start: () => WorkerHandle | undefined;
  #worker: WorkerHandle | undefined;
  #yields = false;
  /** Whether nobody is confined any more. */
  #unused = false;

  /** @param start - gives a spare, or a worker that starts; undefined when none is to be had now */
  constructor(limits: Pick<Limits, "maxExtraWorkers">, start: () => WorkerHandle | undefined) {
    this.#limits = limits;
    this.#start = start;
  }

  /** Whether the lane may have a worker beside the others: it is one of the extra ones. */
  get offered(): boolean {
    return this.#limits.maxExtraWorkers > 0;
  }

  /** The worker, if there is one. */
  get worker(): WorkerHandle | undefined {
    return this.#worker;
  }

  /** Starts it where it is missing. @returns whether a crossing can go to it now */
  makeRoom(): boolean {
    this.#unused = false;
    if (this.#worker === undefined) {
      this.#worker = this.#start();
      this.#yields = false;
    }
    return this.#worker?.hasRoom ?? false;
  }

  /** Hands it a crossing, and wakes it. Call only when {@link makeRoom} has said so. */
  submit(crossing: Crossing): void {
    const worker = this.#worker;
    if (worker === undefined) throw new Error("no worker runs what is confined");
    worker.submit(crossing);
    worker.wake();
  }

  /**
   * A call in a worker has become long. If it is the lane's, its thread stands back for the others from now on; not before, so that
   * short batches, and those that are run again after a stop, are done as soon as anywhere.
   *
   * @returns whether it is the lane's
   */
  stalled(worker: WorkerHandle): boolean {
    if (this.#worker !== worker) return false;
    worker.stalled = true;
    if (!this.#yields) worker.cpu.yieldToOthers();
    this.#yields = true;
    return true;
  }

  /** Nobody is confined any more: it ends when it has nothing left to do, since its thread cannot be given back its rank. */
  rest(): void {
    this.#unused = true;
    this.endUnused();
  }

  /** Ends it if nobody is confined and it has nothing left to do. */
  endUnused(): void {
    const worker = this.#worker;
    if (!this.#unused || worker === undefined || worker.queued > 0) return;
    this.#worker = undefined;
    worker.stop("shutdown");
  }

  /** A worker was stopped or has ended. */
  gone(worker: WorkerHandle): void {
    if (this.#worker === worker) this.#worker = undefined;
  }
}
