/**
 * How long the next batch of a pipeline would wait, from how many wait and how quickly they are answered.
 *
 * A budget of batches alone lets a queue grow until everything in it is too late: with 4,096 batches ahead of it that take 2 ms each,
 * no call with a deadline of a second is answered. The pace is measured, so that it holds for any module and any share of the
 * workers. It tells of the workers only while none of them is free: before that, the answers come as the callers' batches do, or as
 * long as one takes. While all goes well this counts and does little else: the pace is worked out when somebody asks.
 *
 * @module
 */

/** The pace is measured over at least so long, in milliseconds. */
const windowMs = 50;
/** The share that the last window has in the pace. */
const newest = 0.3;

/** The batches of one pipeline that have not run to their end. */
export class Backlog {
  #waiting = 0;
  #answered = 0;
  /** Whether nothing waited, or a worker was free, at some time in the window: then the pace was the callers', not the workers'. */
  #slack = true;
  #windowStartMs = 0;
  /** Milliseconds from one answer to the next; 0 before it was measured. */
  #intervalMs = 0;

  /** A batch begins to wait. */
  add(): void {
    this.#waiting++;
  }

  /** A batch waits no more. @param answered - false when it was given up */
  remove(answered: boolean): void {
    this.#waiting--;
    if (answered) this.#answered++;
    if (this.#waiting === 0) this.#slack = true;
  }

  /** A batch has come, and was added, for which a worker is free. */
  foundFree(nowMs: number): void {
    this.#slack = true;
    const tookMs = nowMs - this.#windowStartMs;
    if (tookMs < windowMs) return;
    this.#measure(nowMs, tookMs);
    this.#slack = true;
  }

  /** How long a batch that comes now, while no worker is free, would wait, in milliseconds. 0 while that is not known. */
  expectedMs(nowMs: number): number {
    const tookMs = nowMs - this.#windowStartMs;
    if (tookMs >= windowMs) this.#measure(nowMs, tookMs);
    return this.#waiting * this.#intervalMs;
  }

  #measure(nowMs: number, tookMs: number): void {
    const sampleMs = tookMs / Math.max(1, this.#answered);
    if (this.#slack) this.#intervalMs = Math.min(this.#intervalMs, sampleMs);
    else if (this.#answered === 0) {
      // Not one yet: the window goes on, and the pace is this slow at best.
      this.#intervalMs = Math.max(this.#intervalMs, sampleMs);
      return;
    } else {
      this.#intervalMs =
        this.#intervalMs === 0 ? sampleMs : this.#intervalMs * (1 - newest) + sampleMs * newest;
    }
    this.#windowStartMs = nowMs;
    this.#answered = 0;
    this.#slack = this.#waiting === 0;
  }
}
