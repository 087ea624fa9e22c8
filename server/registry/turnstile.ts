/**
 * Lets changes of the registry through one at a time, so that each sees what the one before has left.
 *
 * @module
 */

/** Runs asynchronous changes one after the other, in the order in which they came. */
export class Turnstile {
  #last: Promise<unknown> = Promise.resolve();

  /** Runs the change when all before it have ended, however they ended. */
  run<Result>(change: () => Promise<Result>): Promise<Result> {
    const result = this.#last.then(change, change);
    this.#last = result.catch(() => undefined);
    return result;
  }
}
