/**
 * What the main thread tells a worker beside the slots.
 *
 * @module
 */

import type { MessagePort } from "node:worker_threads";
import type { Limits } from "../limits.ts";
import type { LedgerSeat } from "../supervision/ledger-format.ts";
import type { PipelineSpec } from "./pipeline-spec.ts";

/** What a worker thread is started with. */
export interface WorkerStart {
  /** The shared memory, laid out by `layoutFor(limits)`. */
  readonly shared: SharedArrayBuffer;
  /** The limits in force. */
  readonly limits: Readonly<Limits>;
  /** The worker's end of the message channel. */
  readonly port: MessagePort;
  /** A number that names the worker in telemetry. */
  readonly worker: number;
  /** Its row in the crash ledger; undefined where nobody supervises the process. */
  readonly ledger: LedgerSeat | undefined;
  /** A file descriptor to write to what is run, before it is run, for who finds the process dead; undefined where the ledger or nobody does that. */
  readonly witness: number | undefined;
}

/** Makes a pipeline known, before the first slot that names it. */
export interface LoadPipeline {
  readonly type: "load";
  readonly pipeline: PipelineSpec;
}

/** Forgets a pipeline and its instances. Slots that name it must have completed. */
export interface DropPipeline {
  readonly type: "drop";
  readonly id: number;
}

/** Brings the input of a slot that is too large for it, before that slot is submitted. */
export interface TransferInput {
  readonly type: "input";
  readonly slot: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Ends the worker once the slots before it have completed. */
export interface Stop {
  readonly type: "stop";
}

/** Brings the limits on what is the worker's own and no batch's: its instances, and what guests may log and count. */
export interface ChangeLimits {
  readonly type: "limits";
  readonly limits: Readonly<Limits>;
}

/** Any message to a worker. */
export type ToWorker = LoadPipeline | DropPipeline | TransferInput | ChangeLimits | Stop;
