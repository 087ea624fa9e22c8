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

  /** Whether so many have failed that none is to be started at once. */
  get tooMany(): boolean {
    return this.#inARow >= maxAtOnce;
  }

  /** How long the next start is to wait. */
  get delayMs(): number {
    return this.tooMany ? Math.min(maxDelayMs, firstDelayMs * 2 ** (this.#inARow - maxAtOnce)) : 0;
  }

  /** A worker has died that nobody stopped. */
  add(): void {
    this.#inARow++;
  }

  /** A worker is ready. */
  clear(): void {
    this.#inARow = 0;
  }
}
