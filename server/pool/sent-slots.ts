/**
 * The slots that a process of its own has, and until when it must answer each: by the server's clock, whatever the process
 * tells of itself. Who answers nothing, and says that it runs nothing, is found here.
 *
 * @module
 */

import type { PipelineSpec } from "../bridge/pipeline-spec.ts";
import type { SentSlot } from "./completed-slot.ts";

interface Sent extends SentSlot {
  /** How many slots had completed when it was sent. */
  readonly completedBefore: number;
  /** When its own time began; undefined while others may go first. */
  ownFromMs: number | undefined;
}

/** What was sent and has not completed. */
export class SentSlots {
  readonly #slots: (Sent | undefined)[];
  #completed = 0;
  #lastCompletedMs = 0;

  /** @param slots - how many there are */
  constructor(slots: number) {
    this.#slots = new Array(slots).fill(undefined);
  }

  /** What was sent in a slot, if it has not completed. */
  get(slot: number): SentSlot | undefined {
    return this.#slots[slot];
  }

  /** A slot goes to the process. */
  add(slot: number, sent: SentSlot): void {
    this.#slots[slot] = { ...sent, completedBefore: this.#completed, ownFromMs: undefined };
  }

  /** A slot has completed. */
  complete(slot: number, nowMs: number): void {
    this.#slots[slot] = undefined;
    this.#completed++;
    this.#lastCompletedMs = nowMs;
  }

  /** All that the process has not begun was asked back. */
  recalled(): void {
    for (const sent of this.#slots) if (sent !== undefined) sent.recalled = true;
  }

  /**
   * A slot that should have completed long ago: the one that was sent first. Each has its time from when the last of the others
   * completed, while no more have than can have been before it. Ask it often: no slot is overdue before it was asked twice.
   *
   * @returns undefined when there is none
   */
  overdue(nowMs: number): number | undefined {
    let found: number | undefined;
    for (let slot = 0; slot < this.#slots.length; slot++) {
      const sent = this.#slots[slot];
      if (sent === undefined) continue;
      if (this.#completed - sent.completedBefore >= this.#slots.length) sent.ownFromMs ??= nowMs;
      const fromMs = sent.ownFromMs ?? Math.max(sent.submittedMs, this.#lastCompletedMs);
      if (nowMs - fromMs <= sent.answerWithinMs) continue;
      if (found === undefined || sent.submittedMs < (this.#slots[found] as Sent).submittedMs) found = slot;
    }
    return found;
  }
}

/**
 * How long a slot of a pipeline may take once those before it have completed, in milliseconds: more than what the watchdog
 * lets one run take of an honest process, by the clock alone, and the time to compile its modules.
 */
export function answerWithinMs({ stages, limits }: PipelineSpec, maxCompileMs: number): number {
  let batchesMs = 0;
  for (const { batchTimeoutMs } of stages) batchesMs += batchTimeoutMs;
  const runMs = (limits.maxFaultsPerBatch + 2) * batchesMs + limits.maxInitMs;
  return runMs * limits.maxWallTimeFactor + maxCompileMs;
}
