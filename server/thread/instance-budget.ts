/**
 * Bounds the instances that live in one worker, by their number, their memory, and what they take of the JavaScript heap.
 *
 * @module
 */

import type { Limits } from "../limits.ts";
import type { StageRunner } from "../stages/stage-runner.ts";

/** What the instances of a worker may have together. */
export type InstanceBudgetLimits = Pick<
  Limits,
  "maxInstancesPerWorker" | "maxInstanceBytesPerWorker" | "maxInstanceHeapBytesPerWorker"
>;

/** Lets the instance that was unused for longest give way: to a new one, and to the memory of one that has grown. */
export class InstanceBudget {
  readonly #limits: InstanceBudgetLimits;
  readonly #onBytes: (bytes: number) => void;
  readonly #collect: () => void;
  /** Those that have an instance, and some that have none any more; with the memory that each had after its last batch. */
  readonly #bytesOf = new Map<StageRunner, number>();
  /** At least what all of them have. */
  #bytes = 0;
  /** At least what all of them may take of the heap. */
  #heapBytes = 0;
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
    if (this.#isFullFor(runner)) {
      this.#refresh();
      while (this.#isFullFor(runner) && this.#evictOldest(runner));
    }
    if (this.#bytesOf.has(runner)) return;
    this.#bytesOf.set(runner, 0);
    this.#heapBytes += runner.spec.instanceHeapBytes;
  };

  /** Whether there is no room for one more, this one's. */
  #isFullFor(runner: StageRunner): boolean {
    const known = this.#bytesOf.has(runner);
    const others = this.#bytesOf.size - (known ? 1 : 0);
    const heapBytes = this.#heapBytes + (known ? 0 : runner.spec.instanceHeapBytes);
    return (
      others >= this.#limits.maxInstancesPerWorker || heapBytes > this.#limits.maxInstanceHeapBytesPerWorker
    );
  }

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
    this.#heapBytes = 0;
    for (const runner of this.#bytesOf.keys()) {
      const { memoryBytes } = runner;
      if (runner.givenUpBytes > 0) this.#giveUp(runner);
      if (!runner.live) this.#bytesOf.delete(runner);
      else {
        this.#bytesOf.set(runner, memoryBytes);
        this.#heapBytes += runner.spec.instanceHeapBytes;
      }
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
    this.#heapBytes -= oldest.spec.instanceHeapBytes;
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
