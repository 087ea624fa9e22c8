/**
 * Bounds the instances that live in one worker, by their number and by their memory.
 *
 * @module
 */

import type { Limits } from "../limits.ts";
import type { StageRunner } from "../stages/stage-runner.ts";

/** What the instances of a worker may have together. */
export type InstanceBudgetLimits = Pick<Limits, "maxInstancesPerWorker" | "maxInstanceBytesPerWorker">;

/** Lets the instance that was unused for longest give way: to a new one, and to the memory of one that has grown. */
export class InstanceBudget {
  readonly #limits: InstanceBudgetLimits;
  readonly #onBytes: (bytes: number) => void;
  readonly #collect: () => void;
  /** Those that have an instance, and some that have none any more; with the memory that each had after its last batch. */
  readonly #bytesOf = new Map<StageRunner, number>();
  /** At least what all of them have. */
  #bytes = 0;
  /** What was dropped and not collected yet. */
  #givenUpBytes = 0;
  #uses = 0;

  /**
   * @param onBytes - told of the memory of all instances, when it has changed
   * @param collect - gives the memory back of instances that were dropped
   */
  constructor(
    limits: InstanceBudgetLimits,
    onBytes: (bytes: number) => void = () => {},
    collect: () => void = () => {},
  ) {
    this.#limits = limits;
    this.#onBytes = onBytes;
    this.#collect = collect;
  }

  /** A stage is about to make an instance. */
  readonly admit = (runner: StageRunner): void => {
    runner.lastUse = ++this.#uses;
    if (this.#bytesOf.size >= this.#limits.maxInstancesPerWorker) {
      this.#refresh();
      while (this.#bytesOf.size >= this.#limits.maxInstancesPerWorker && this.#evictOldest(runner));
    }
    if (!this.#bytesOf.has(runner)) this.#bytesOf.set(runner, 0);
  };

  /** A stage's instance was used, and may have grown. */
  touch(runner: StageRunner): void {
    runner.lastUse = ++this.#uses;
    const before = this.#bytesOf.get(runner);
    const { memoryBytes } = runner;
    if (runner.givenUpBytes > 0) this.#giveUp(runner);
    if (memoryBytes === (before ?? 0)) return;
    this.#bytesOf.set(runner, memoryBytes);
    this.#bytes += memoryBytes - (before ?? 0);
    if (this.#bytes > this.#limits.maxInstanceBytesPerWorker) {
      this.#refresh();
      while (this.#bytes > this.#limits.maxInstanceBytesPerWorker && this.#evictOldest(runner));
    }
    this.#onBytes(this.#bytes);
  }

  /** Instances were dropped elsewhere: looks again what there is. */
  refresh(): void {
    this.#refresh();
    this.#onBytes(this.#bytes);
  }

  #refresh(): void {
    this.#bytes = 0;
    for (const runner of this.#bytesOf.keys()) {
      const { memoryBytes } = runner;
      if (runner.givenUpBytes > 0) this.#giveUp(runner);
      if (!runner.live) this.#bytesOf.delete(runner);
      else this.#bytesOf.set(runner, memoryBytes);
      this.#bytes += memoryBytes;
    }
  }

  /** @returns whether there was one beside the one to keep */
  #evictOldest(keep: StageRunner): boolean {
    let oldest: StageRunner | undefined;
    for (const runner of this.#bytesOf.keys()) {
      if (runner !== keep && (oldest === undefined || runner.lastUse < oldest.lastUse)) oldest = runner;
    }
    if (oldest === undefined) return false;
    this.#bytes -= this.#bytesOf.get(oldest) ?? 0;
    this.#bytesOf.delete(oldest);
    oldest.evict();
    this.#giveUp(oldest);
    return true;
  }

  /** Dropped instances may take a quarter of the budget beside it until they are collected. */
  #giveUp(runner: StageRunner): void {
    this.#givenUpBytes += runner.givenUpBytes;
    runner.givenUpBytes = 0;
    if (this.#givenUpBytes < this.#limits.maxInstanceBytesPerWorker / 4) return;
    this.#givenUpBytes = 0;
    this.#collect();
  }
}
