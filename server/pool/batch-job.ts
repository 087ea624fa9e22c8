/**
 * One batch of one call, from admission to its answer.
 *
 * @module
 */

import type { FailureMatter } from "../bridge/from-worker.ts";
import { type LeatError, leatError } from "../errors.ts";
import type { BatchTrace } from "../telemetry/batch-trace.ts";
import type { Crossing } from "./crossing.ts";
import type { ServingPipeline } from "./serving-pipeline.ts";

/** What became of a batch. Its bytes lie in shared memory until {@link release}: soon, and at once when memory is scarce. */
export interface BatchResult {
  /** Where the encoded TransformResult lies; `outputHeadroomBytes` before it are free to write. */
  readonly bytes: Buffer;
  readonly start: number;
  readonly length: number;
  /** Records that came in, went out and failed. */
  readonly recordsIn: number;
  readonly recordsOut: number;
  readonly recordsFailed: number;
  /** Whether the worker runs short of memory for results, so that this one must be copied if it cannot leave now. */
  readonly scarce: boolean;
  /** Gives the memory back. */
  release(): void;
}

/** Who waits for a batch. */
export interface BatchOwner {
  /** Takes the failures that policies deal with, before {@link settled}; without this, the batch gets an aftermath. */
  matters?(job: BatchJob, matters: readonly FailureMatter[]): void;
  /** The batch is answered: called once. The owner releases the result, and the batch's admission. */
  settled(job: BatchJob, outcome: BatchResult | LeatError): void;
}

/** One batch that waits for a worker or runs in one. */
export class BatchJob {
  readonly pipeline: ServingPipeline;
  /** The encoded RecordBatch lies in `[start, end)` of these bytes. Empty once the batch was withdrawn. */
  bytes: Buffer;
  readonly start: number;
  readonly end: number;
  /** Whether it may share a crossing with other calls: small, and checked to be a valid batch. */
  readonly mergeable: boolean;
  /** When it was admitted, in milliseconds since the Unix epoch. */
  readonly admittedMs: number;
  /** The batch's number in its stream, for the owner. 0 outside of streams. */
  readonly sequence: number;
  /** The name of its stream, or empty. */
  readonly streamId: string;
  /** What its call is known by when it is sent again; empty in streams, and where the caller gave nothing. */
  readonly callId: string;
  /** The name of the principal that sent it; empty where that is of no account. */
  readonly sender: string;
  /** The crossing that runs it, while one does. */
  crossing: Crossing | undefined = undefined;
  /** What deals with its failures, after its run. */
  aftermath: { abandon(nowMs: number): void } | undefined = undefined;
  /** How often its records were tried before. */
  priorAttempts = 0;
  /** When its caller gives up, in milliseconds since the Unix epoch: nothing is worth a wait that ends later. */
  deadlineMs = Number.POSITIVE_INFINITY;
  /** Whether its records are dead letters already: what fails again makes no other one. */
  replayed = false;
  /** Whether nobody waits for it any more. */
  cancelled = false;
  /** Whether it was answered. */
  settled = false;
  /** Its trace, when one is recorded. */
  trace: BatchTrace | undefined = undefined;
  /** Who is answered; nobody once the batch was withdrawn. */
  owner: BatchOwner;
  /** Is told, before the owner, when the batch is cancelled while it waits: no crossing will account for it. */
  onWithdrawn: ((job: BatchJob) => void) | undefined = undefined;

  constructor(
    owner: BatchOwner,
    pipeline: ServingPipeline,
    batch: {
      readonly bytes: Buffer;
      readonly start: number;
      readonly end: number;
      readonly mergeable: boolean;
      readonly sequence: number;
      readonly streamId: string;
      readonly callId?: string;
      readonly sender?: string;
    },
    admittedMs: number,
  ) {
    this.owner = owner;
    this.pipeline = pipeline;
    this.bytes = batch.bytes;
    this.start = batch.start;
    this.end = batch.end;
    this.mergeable = batch.mergeable;
    this.sequence = batch.sequence;
    this.streamId = batch.streamId;
    this.callId = batch.callId ?? "";
    this.sender = batch.sender ?? "";
    this.admittedMs = admittedMs;
    pipeline.hold();
  }

  /** The encoded batch's size. */
  get byteLength(): number {
    return this.end - this.start;
  }

  /** Answers the batch, once. */
  settle(outcome: BatchResult | LeatError): void {
    if (this.settled) throw new Error("a batch was answered twice");
    this.settled = true;
    this.crossing = undefined;
    this.owner.settled(this, outcome);
    if (this.aftermath === undefined) this.pipeline.backlog.remove(!this.cancelled);
    this.pipeline.release();
  }

  /** Its run has ended, and something deals with its failures before it is answered: until then it keeps nobody waiting. */
  beginAftermath(aftermath: { abandon(nowMs: number): void }): void {
    this.aftermath = aftermath;
    this.crossing = undefined;
    this.pipeline.backlog.remove(true);
  }

  /**
   * Nobody waits for the batch any more. While it waits it is answered at once, and lets go of its bytes and its owner, since
   * it may still be in the queue and counts in no budget any more; while it runs the guest is told to stop, and it is answered
   * when that has happened.
   */
  cancel(nowMs: number): void {
    if (this.cancelled || this.settled) return;
    this.cancelled = true;
    this.aftermath?.abandon(nowMs);
    if (this.crossing !== undefined) {
      this.crossing.noteCancelled(nowMs);
      return;
    }
    this.onWithdrawn?.(this);
    this.settle(leatError("CANCELLED"));
    this.bytes = noBytes;
    this.owner = nobody;
  }
}

const noBytes = Buffer.alloc(0);

/** Owns what was withdrawn. */
const nobody: BatchOwner = { settled: () => {} };
