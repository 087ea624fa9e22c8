import type { Link, Span } from "@opentelemetry/api";
import type { BatchAnswer } from "../record/result.ts";

/** What the server takes as one batch. */
export interface BatchLimits {
  readonly maxBatchBytes: number;
  readonly maxBatchRecords: number;
}

/** One batch on its way to the server. */
export interface OutgoingBatch<Tag> {
  readonly bytes: Uint8Array;
  /** How many records it holds. */
  readonly count: number;
  /** What its owner needs to know again when the answer comes. */
  readonly tag: Tag;
  /** The spans whose records it holds, where they are not the stream's own parent. */
  readonly links: Link[] | undefined;
}

/** Where a stream's batches come from. */
export interface BatchSource<Tag> {
  /**
   * Resolves to the next batch, or to undefined at the end. Called again only after it has resolved,
   * and only when there is room for a batch.
   */
  next(limits: BatchLimits): Promise<OutgoingBatch<Tag> | undefined>;
  /** Called once, when no more batches are wanted. A `next` under way may stay unresolved. */
  close(): void;
}

/** One batch with its answer. */
export interface DeliveredBatch<Tag> {
  /** Its place among the stream's batches, from 1. */
  readonly place: number;
  readonly batch: OutgoingBatch<Tag>;
  readonly answer: BatchAnswer;
}

/** A batch that is not delivered yet. */
export interface Entry<Tag> {
  readonly place: number;
  readonly batch: OutgoingBatch<Tag>;
  readonly span: Span;
  readonly traceparent: string;
  /** How often it was sent as a new message; resending it after a reconnect does not count. */
  attempts: number;
  answer: BatchAnswer | undefined;
}

/** A batch under one sequence number. */
export interface Slot<Tag> {
  readonly sequence: number;
  readonly entry: Entry<Tag>;
  answered: boolean;
}
