/**
 * Counts what a worker's process sends that answers nothing: more of it than its guests and it have a reason for is an attack
 * on the server's loop.
 *
 * @module
 */

import { FrameError } from "../bridge/frames.ts";
import type { Clock } from "../clock.ts";

/** In a second, beyond its guests' log lines and the counters of what it has run. The control words come 200 times a second. */
const maxUnaskedFramesPerSecond = 1_000;

/** The frames of one process. */
export class UnaskedFrames {
  readonly #clock: Clock;
  #count = 0;
  #secondBeganMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** It has done what it may tell so many more frames of. */
  allow(frames: number): void {
    this.#count -= frames;
  }

  /** A frame has come. @throws FrameError when there are too many */
  add(maxLogLinesPerSecond: number): void {
    const nowMs = this.#clock.nowMs();
    if (nowMs - this.#secondBeganMs >= 1_000) {
      this.#secondBeganMs = nowMs;
      this.#count = 0;
    }
    // Its seconds begin at other times than these: one of these may see the lines of two.
    const most = maxUnaskedFramesPerSecond + 2 * maxLogLinesPerSecond;
    if (++this.#count > most)
      throw new FrameError(`more than ${most} frames in a second that answer nothing`);
  }
}
