/**
 * Bounds the instances that live in one worker.
 *
 * @module
 */

import type { StageRunner } from "../stages/stage-runner.ts";

/** Lets the instance that was unused for longest give way to a new one. */
export class InstanceBudget {
  readonly #max: number;
  readonly #live = new Set<StageRunner>();
  #uses = 0;

  /** @param max - instances alive at once */
  constructor(max: number) {
    this.#max = max;
  }

  /** A stage is about to make an instance. */
  readonly admit = (runner: StageRunner): void => {
    runner.lastUse = ++this.#uses;
    if (this.#live.size >= this.#max) this.#evict(runner);
    this.#live.add(runner);
  };

  /** A stage's instance was used. */
  touch(runner: StageRunner): void {
    runner.lastUse = ++this.#uses;
  }

  #evict(keep: StageRunner): void {
    for (const runner of this.#live) if (!runner.live) this.#live.delete(runner);
    while (this.#live.size >= this.#max) {
      let oldest: StageRunner | undefined;
      for (const runner of this.#live) {
        if (runner !== keep && (oldest === undefined || runner.lastUse < oldest.lastUse)) oldest = runner;
      }
      if (oldest === undefined) return;
      oldest.discard();
      this.#live.delete(oldest);
    }
  }
}
