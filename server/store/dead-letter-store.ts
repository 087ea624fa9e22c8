/**
 * Where records are kept that a pipeline gave up on.
 *
 * @module
 */

/** A dead letter as the data path hands it over. */
export interface DeadLetterDraft {
  /** Unique; the same record of the same stream has the same id, so that a batch that is sent again adds no letter. */
  readonly id: string;
  /** When it failed, in milliseconds since the Unix epoch. */
  readonly timeMs: number;
  readonly pipeline: string;
  readonly stage: string;
  /** The stage's module. */
  readonly module: string;
  readonly version: string;
  readonly digest: string;
  /** The failure. */
  readonly code: string;
  readonly message: string;
  /** How often the record was tried. */
  readonly attempts: number;
  /** 32 hex digits, or empty. */
  readonly traceId: string;
  /** Where it came from; empty and 0 for unary calls. */
  readonly streamId: string;
  readonly sequence: number;
  readonly index: number;
  /** The record as it came in: an encoded `leat.v1.Record`. */
  readonly record: Uint8Array;
  /** What the failing stage was given, when that differs from `record`. */
  readonly stageInput: Uint8Array | undefined;
}

/** Takes dead letters. */
export interface DeadLetterSink {
  /**
   * Keeps letters durably. A letter whose id is there already is counted as kept.
   *
   * @throws whatever went wrong: then none of them may be taken as kept
   */
  write(letters: readonly DeadLetterDraft[]): Promise<void>;
}
