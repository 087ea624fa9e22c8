/**
 * Workers in reserve: started, and warm when one is needed.
 *
 * @module
 */

import type { WorkerHandle } from "./worker-handle.ts";

/**
 * How long the start of a thread waits for what a spare was taken for, in milliseconds: it costs the main thread some of them and a
 * processor for a tenth of a second, while a batch is run again.
 */
const holdMs = 100;

/** The reserve; the first is taken first. */
export class Spares implements Iterable<WorkerHandle> {
  readonly #spawn: () => WorkerHandle;
  readonly #onHeld: () => void;
  readonly #workers: WorkerHandle[] = [];
  #held: NodeJS.Timeout | undefined;

  /** @param onHeld - is told when spares that were held back may start */
  constructor(spawn: () => WorkerHandle, onHeld: () => void) {
    this.#spawn = spawn;
    this.#onHeld = onHeld;
  }

  [Symbol.iterator](): Iterator<WorkerHandle> {
    return this.#workers.values();
  }

  /** Those that could be taken now. */
  get ready(): number {
    return this.#workers.filter((worker) => worker.state.t === "ready").length;
  }

  /** Takes one that is ready. */
  take(): WorkerHandle | undefined {
    const index = this.#workers.findIndex((worker) => worker.state.t === "ready");
    return index < 0 ? undefined : this.#workers.splice(index, 1)[0];
  }

  /** Takes one that is about to be ready. */
  takeStarting(): WorkerHandle | undefined {
    return this.#workers.shift();
  }

  /** Puts one back that has worked: it is warmer than those that have not. */
  putBack(worker: WorkerHandle): void {
    this.#workers.unshift(worker);
  }

  /** One has ended. */
  gone(worker: WorkerHandle): void {
    const index = this.#workers.indexOf(worker);
    if (index >= 0) this.#workers.splice(index, 1);
  }

  /** One was taken in place of a worker that was stopped or is held up: another starts in a while. */
  hold(): void {
    this.#held ??= setTimeout(() => {
      this.#held = undefined;
      this.#onHeld();
    }, holdMs).unref();
  }

  /** None is started any more for those that were held back. */
  close(): void {
    clearTimeout(this.#held);
  }

  /** Starts those that are missing, unless they are held back and not `urgent`. */
  fill(wanted: number, urgent: boolean): void {
    if (this.#held !== undefined && !urgent) return;
    while (this.#workers.length < wanted) this.#workers.push(this.#spawn());
  }

  /**
   * Ends those that are more than wanted. One more than that stays: it came back, and the one that was started in its
   * place is there for the next who borrows, so that a row of warm-ups starts and ends no thread each time.
   */
  trim(wanted: number): void {
    while (this.#workers.length > wanted + 1) {
      const index = this.#workers.findLastIndex((worker) => worker.state.t === "ready");
      if (index < 0) return;
      this.#workers.splice(index, 1)[0]?.stop("shutdown");
    }
  }
}
