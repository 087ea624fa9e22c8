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
import { encodeRow, type LedgerSeat, rowOffset } from "../supervision/ledger-format.ts";

/** How long a worker is idle before its row is cleared, in milliseconds. */
export const idleBeforeClearMs = 1_000;

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

  /** A batch begins. Costs nothing for the pipeline that ran last; waits its turn for one on probation. */
  begin(pipeline: PipelineSpec): void {
    const { probationUntilMs } = pipeline;
    if (probationUntilMs !== undefined && probationUntilMs > systemClock.nowMs()) {
      this.clear();
      this.#takeLane();
      this.#onProbation = pipeline;
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

  /** Should the holder's thread end, the main thread lets go for it. */
  #takeLane(): void {
    for (;;) {
      const holder = Atomics.compareExchange(this.#lane, 0, 0, this.#seat.row);
      if (holder === 0) return;
      Atomics.wait(this.#lane, 0, holder);
    }
  }

  #write(row: Buffer): void {
    writeSync(this.#seat.file, row, 0, undefined, rowOffset(this.#seat.row, this.#seat.rowBytes));
  }
}
