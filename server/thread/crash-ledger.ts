/**
 * A worker's row in the crash ledger.
 *
 * Usually the row is written when the worker turns to another pipeline, and cleared when it has been idle for a while: a
 * crash may come a little later than the call that caused it, from the optimiser's threads. For modules on probation it is
 * written for each stage and cleared after each batch, and no other worker runs one of those meanwhile.
 *
 * @module
 */

import { writeSync } from "node:fs";
import type { PipelineSpec } from "../bridge/pipeline-spec.ts";
import { systemClock } from "../clock.ts";
import type { RunContext } from "../stages/run-context.ts";
import { encodeRow, type LedgerSeat, rowOffset } from "../supervision/ledger-format.ts";

/** How long a worker is idle before its row is cleared, in milliseconds. */
export const idleBeforeClearMs = 1_000;

/** How often a batch that waits for the lane looks whether it was cancelled, in milliseconds. */
const cancelCheckMs = 5;

/** Says what this worker runs. */
export class CrashLedger {
  readonly #seat: LedgerSeat;
  readonly #lane: Int32Array;
  readonly #rows = new WeakMap<PipelineSpec, Buffer>();
  readonly #empty: Buffer;
  /** The pipeline that the row names. */
  #named: PipelineSpec | undefined;
  /** The pipeline that runs on probation, from {@link begin} to {@link end}. */
  #onProbation: PipelineSpec | undefined;

  constructor(seat: LedgerSeat) {
    this.#seat = seat;
    this.#lane = new Int32Array(seat.lane);
    this.#empty = encodeRow([], false, seat.rowBytes);
  }

  /**
   * A batch begins. Costs nothing for the pipeline that ran last; waits its turn for one on probation.
   *
   * @param slot - where the batch lies: while it waits, the context says that it is there, and whether it was cancelled
   */
  begin(pipeline: PipelineSpec, slot: number, context: Pick<RunContext, "begin" | "cancelled">): void {
    const { probationUntilMs } = pipeline;
    if (probationUntilMs !== undefined && probationUntilMs > systemClock.nowMs()) {
      this.clear();
      if (this.#takeLane(slot, context)) this.#onProbation = pipeline;
      return;
    }
    if (pipeline === this.#named) return;
    let row = this.#rows.get(pipeline);
    if (row === undefined) {
      row = encodeRow(
        pipeline.stages.map(({ digest }) => digest),
        false,
        this.#seat.rowBytes,
      );
      this.#rows.set(pipeline, row);
    }
    this.#write(row);
    this.#named = pipeline;
  }

  /** A stage begins. */
  stage(index: number): void {
    const digest = this.#onProbation?.stages[index]?.digest;
    if (digest !== undefined) this.#write(encodeRow([digest], true, this.#seat.rowBytes));
  }

  /** The batch has ended. */
  end(): void {
    if (this.#onProbation === undefined) return;
    this.#onProbation = undefined;
    this.#write(this.#empty);
    Atomics.store(this.#lane, 0, 0);
    Atomics.notify(this.#lane, 0, 1);
  }

  /** How long to sleep before {@link clear} is due, in milliseconds; undefined when there is nothing to clear. */
  get clearAfterMs(): number | undefined {
    return this.#named === undefined ? undefined : idleBeforeClearMs;
  }

  /** The row names nothing any more. */
  clear(): void {
    if (this.#named === undefined) return;
    this.#named = undefined;
    this.#write(this.#empty);
  }

  /**
   * Should the holder's thread end, the main thread lets go for it. To the watchdog the batch has begun, so that what waits
   * behind it runs elsewhere; it begins anew once it has the lane, so that its guest's time does not include the wait.
   *
   * @returns false when nobody waits for the batch any more: then no guest will run
   */
  #takeLane(slot: number, context: Pick<RunContext, "begin" | "cancelled">): boolean {
    let waits = false;
    for (;;) {
      const holder = Atomics.compareExchange(this.#lane, 0, 0, this.#seat.row);
      if (holder === 0) return true;
      if (!waits) context.begin(slot);
      waits = true;
      if (context.cancelled) return false;
      Atomics.wait(this.#lane, 0, holder, cancelCheckMs);
    }
  }

  #write(row: Buffer): void {
    writeSync(this.#seat.file, row, 0, undefined, rowOffset(this.#seat.row, this.#seat.rowBytes));
  }
}
