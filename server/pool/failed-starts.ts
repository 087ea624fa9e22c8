/**
 * Workers that die before they were ever ready: after some in a row, others are started ever more slowly.
 *
 * @module
 */

/** In a row, before others wait. */
const maxAtOnce = 5;
/** How long the first then waits, in milliseconds: doubled each time, up to the second. */
const firstDelayMs = 100;
const maxDelayMs = 30_000;

/** Counts failed starts. */
export class FailedStarts {
  #inARow = 0;
  /** Starts that wait for their time. */
  #waiting = 0;

  /** Whether so many have failed that none is to be started at once. */
  get tooMany(): boolean {
    return this.#inARow >= maxAtOnce;
  }

  /** How long the next start is to wait. */
  get delayMs(): number {
    return this.tooMany ? Math.min(maxDelayMs, firstDelayMs * 2 ** (this.#inARow - maxAtOnce)) : 0;
  }

  /** Whether one may be started now: after too many, those that wait go first. */
  get mayStart(): boolean {
    return !this.tooMany || this.#waiting === 0;
  }

  /** Has a worker started in place of one that has ended: at once, or after the delay. */
  whenDue(start: () => void): void {
    const { delayMs } = this;
    if (delayMs === 0) {
      start();
      return;
    }
    this.#waiting++;
    setTimeout(() => {
      this.#waiting--;
      start();
    }, delayMs).unref();
  }

  /** A worker has died as it started. */
  add(): void {
    this.#inARow++;
  }

  /** A worker is ready. */
  clear(): void {
    this.#inARow = 0;
  }
}
