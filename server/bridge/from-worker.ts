/**
 * What a worker tells the main thread beside the slots.
 *
 * @module
 */

/** The worker waits for slots. */
export interface WorkerReady {
  readonly type: "ready";
}

/** There are completed slots. Sent only while the main thread has asked for it; a number, since it is sent so often. */
export const completedMessage = 0;

/** Failures of one stage in one run, by code. */
export interface StageFailures {
  readonly stage: number;
  readonly code: string;
  readonly count: number;
}

/** What went wrong in a run. Sent before the slot completes, only when something did. */
export interface Report {
  readonly type: "report";
  readonly slot: number;
  /** Why the run as a whole failed, when it did. */
  readonly problem?: string;
  /** Counts for metrics, over all segments and including failures that the policy hid from the caller. */
  readonly failures: readonly StageFailures[];
  /** The first failures, for traces. */
  readonly samples: readonly FailureSample[];
  /** Failures that the main thread deals with: their stages retry, or keep dead letters. */
  readonly matters: readonly FailureMatter[];
}

/** A failure that is not settled by the result alone. */
export interface FailureMatter {
  /** The record's place in the crossing's input. */
  readonly index: number;
  readonly stage: number;
  readonly code: string;
  readonly message: string;
  /** Whether the stage's policy would try the record again. */
  readonly retry: boolean;
  /** Whether the stage keeps it as a dead letter. */
  readonly letter: boolean;
  /** What the stage was given, an encoded Record; undefined at the first stage, where it is the input itself. */
  readonly input: Uint8Array | undefined;
}

/** One failure, for a trace. */
export interface FailureSample {
  readonly index: number;
  readonly code: string;
  readonly message: string;
  readonly stage: string;
}

/** Brings the output of a slot that is too large for it, before that slot completes. Segments are addressed in it. */
export interface TransferOutput {
  readonly type: "output";
  readonly slot: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** A slot that was asked back comes back, not begun. Sent by workers that share no memory with the main thread only. */
export interface ReturnedSlot {
  readonly type: "returned";
  readonly slot: number;
}

/** Lines that a guest logged. */
export interface GuestLog {
  readonly type: "log";
  readonly pipeline: number;
  readonly stage: number;
  readonly level: number;
  readonly text: string;
}

/** What guests added to their counters since the last such message. */
export interface GuestCounters {
  readonly type: "counters";
  readonly pipeline: number;
  readonly stage: number;
  readonly deltas: readonly (readonly [name: string, delta: number])[];
}

/** Any message from a worker. */
export type FromWorker =
  | typeof completedMessage
  | WorkerReady
  | Report
  | TransferOutput
  | ReturnedSlot
  | GuestLog
  | GuestCounters;
