/**
 * Bounds how many lines a second the log gets of one kind, where callers decide how many there would be.
 *
 * @module
 */

import type { Clock } from "../clock.ts";

/** Lines that may be written now; counts those that may not. */
export class LineBudget {
  readonly #clock: Clock;
  readonly #maxLinesPerSecond: number;
  #secondBegan = 0;
  #lines = 0;
  #omitted = 0;

  constructor(clock: Clock, maxLinesPerSecond: number) {
    this.#clock = clock;
    this.#maxLinesPerSecond = maxLinesPerSecond;
  }

  /** Takes a line. @returns fields for it: how many were left out before it; or undefined, when it is to be left out */
  take(): { readonly omitted?: number } | undefined {
    const nowMs = this.#clock.nowMs();
    if (nowMs - this.#secondBegan >= 1_000) {
      this.#secondBegan = nowMs;
      this.#lines = 0;
    }
    if (this.#lines >= this.#maxLinesPerSecond) {
      this.#omitted++;
      return undefined;
    }
    this.#lines++;
    const omitted = this.#omitted;
    this.#omitted = 0;
    return omitted === 0 ? {} : { omitted };
  }
}
