/**
 * How long the small calls of a pipeline take, so that no more of them share a crossing than are done soon.
 *
 * Calls share a crossing since waking a worker costs as much as a small batch does. Where a call takes milliseconds, that is nothing, and
 * sharing harms: each waits until the last has run, one that was given up runs all the same, and others wait for the whole.
 *
 * @module
 */

/** The share that the last crossing has in the pace. */
const newest = 0.3;
/** Calls that share a crossing while the pace is not known. */
const firstCalls = 64;

/** The pace of one pipeline's small calls. */
export class CallPace {
  /** Milliseconds for one call; 0 before it was measured. */
  #msPerCall = 0;

  /** A crossing of so many small calls has run for so long. */
  ran(calls: number, ms: number): void {
    const sampleMs = ms / calls;
    this.#msPerCall = this.#msPerCall === 0 ? sampleMs : this.#msPerCall * (1 - newest) + sampleMs * newest;
  }

  /** How many calls may share a crossing that is to run no longer than so many milliseconds: at least one. */
  callsWithin(ms: number): number {
    return this.#msPerCall === 0 ? firstCalls : Math.max(1, Math.floor(ms / this.#msPerCall));
  }
}
