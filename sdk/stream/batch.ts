import { Code } from "@connectrpc/connect";
import type { Link, Span } from "@opentelemetry/api";
import { LeatCallError } from "../errors.ts";
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

/** A sequence number that was given away. */
export interface Slot<Tag> {
  readonly sequence: number;
  /** The batch that is under way with this number; undefined when it is answered, is to go with another number, or cannot be sent. */
  entry: Entry<Tag> | undefined;
  /** Whether the server has answered this number on the present connection. */
  answered: boolean;
}

/** Why a batch cannot be sent under these limits; undefined when it can. The server would end the stream over it. */
export function refuse(batch: OutgoingBatch<unknown>, limits: BatchLimits): LeatCallError | undefined {
  const [reason, limit, value, measured] =
    batch.bytes.length > limits.maxBatchBytes
      ? ["BATCH_TOO_LARGE", "maxBatchBytes", limits.maxBatchBytes, batch.bytes.length]
      : ["BATCH_TOO_MANY_RECORDS", "maxBatchRecords", limits.maxBatchRecords, batch.count];
  if (measured <= value) return undefined;
  return new LeatCallError(`the batch was not sent: measured ${measured}, the limit ${limit} is ${value}`, {
    code: Code.InvalidArgument,
    reason: String(reason),
    metadata: { limit: String(limit), value: String(value), measured: String(measured) },
  });
}
