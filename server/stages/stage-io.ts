/**
 * What goes into a stage and what comes out of it.
 *
 * @module
 */

import type { RecordFailureCode } from "../errors.ts";
import { ResultView } from "../record/result.ts";

const nothing = new Uint8Array(0);

/** A stage's input: an encoded RecordBatch and how many records it has. */
export interface StageInput {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
  readonly records: number;
}

/** A record that failed in a stage, by its index in the stage's input. */
export interface StageFailure {
  index: number;
  code: string;
  message: string;
  retryable: boolean;
  /** It was to go on as it came in, and there was no room: it is reported. */
  noRoom?: true;
}

/** A record that must not be run, with the reason: it stopped a worker before. */
export interface Exclusion {
  /** The index in the stage's input, `wholeStage` or `unknownRecord`. */
  readonly record: number;
  readonly code: RecordFailureCode;
  readonly message: string;
}

/**
 * A stage's output. Reused from batch to batch; what it refers to is valid until the
 * stage runs again.
 */
export class StageOutput extends ResultView {
  /** What failed, including what the policy hides from the caller; ascending. */
  failed: StageFailure[] = [];

  /** It was used: lets go of what it refers to. */
  release(): void {
    this.bytes = nothing;
    // Setting the length of an empty array costs a call into V8's runtime.
    if (this.failures.length > 0) this.failures.length = 0;
    if (this.failed.length > 0) this.failed.length = 0;
  }

  /** Takes over a batch that the host put together, with the fanout already in place. */
  assign(bytes: Uint8Array, records: number): void {
    this.bytes = bytes;
    this.batchStart = 0;
    this.batchEnd = bytes.length;
    this.records = records;
    this.hasFanout = true;
  }
}
