/**
 * Reads requests of the data plane without decoding the batch inside: an embedded message and
 * a `bytes` field look the same on the wire, so the batch stays the bytes it came in.
 * A test pins that these views and the public messages agree.
 *
 * @module
 */

import { fromBinary } from "@bufbuild/protobuf";
import { type OpenStream, OpenStreamSchema, type Target, TargetSchema } from "@leat/proto";
import { Cursor, WireError } from "../record/wire.ts";

/** A TransformRequest. */
export interface TransformView {
  readonly t: "transform";
  readonly target: Target | undefined;
  /** The encoded RecordBatch lies in `[start, end)` of the bytes. */
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
}

/** A request that is no message of ours. */
export interface MalformedView {
  readonly t: "malformed";
  readonly problem: string;
}

/** A StreamTransformRequest. */
export type StreamView =
  | { readonly t: "open"; readonly open: OpenStream }
  | {
      readonly t: "batch";
      readonly sequence: number;
      readonly traceparent: string;
      readonly bytes: Buffer;
      readonly start: number;
      readonly end: number;
    }
  | { readonly t: "empty" }
  | MalformedView;

const cursor = new Cursor();

/** `Target` messages of late, by their encoding: unary callers send the same one again and again. */
const targets = new Map<string, Target>();
const maxTargets = 256;
/** Longer ones are no pipeline's name, and would be kept for nothing. */
const maxKeptTargetBytes = 2_048;

/** Reads a TransformRequest. Never throws. */
export function readTransform(bytes: Buffer): TransformView | MalformedView {
  let target: Target | undefined;
  let start = 0;
  let end = 0;
  try {
    cursor.reset(bytes, 0, bytes.length);
    while (!cursor.done) {
      const tag = cursor.tag();
      if (tag === ((1 << 3) | 2)) {
        const length = cursor.length();
        target = readTarget(bytes, cursor.position, cursor.position + length);
        cursor.advance(length);
      } else if (tag === ((2 << 3) | 2)) {
        if (end > 0) throw new WireError("more than one batch");
        const length = cursor.length();
        start = cursor.position;
        end = start + length;
        cursor.advance(length);
      } else {
        cursor.skip(tag);
      }
    }
  } catch (error) {
    return malformed(error);
  }
  return { t: "transform", target, bytes, start, end };
}

function readTarget(bytes: Buffer, start: number, end: number): Target {
  if (end - start > maxKeptTargetBytes) return fromBinary(TargetSchema, bytes.subarray(start, end));
  // Latin-1 maps each byte to one character: a key of the exact encoding.
  const key = bytes.toString("latin1", start, end);
  let target = targets.get(key);
  if (target === undefined) {
    target = fromBinary(TargetSchema, bytes.subarray(start, end));
    if (targets.size >= maxTargets) targets.clear();
    targets.set(key, target);
  }
  return target;
}

/** Reads a StreamTransformRequest. Never throws. */
export function readStream(bytes: Buffer): StreamView {
  try {
    cursor.reset(bytes, 0, bytes.length);
    let view: StreamView = { t: "empty" };
    while (!cursor.done) {
      const tag = cursor.tag();
      if (tag !== ((1 << 3) | 2) && tag !== ((2 << 3) | 2)) {
        cursor.skip(tag);
        continue;
      }
      if (view.t !== "empty") throw new WireError("more than one message in a request");
      const length = cursor.length();
      const end = cursor.position + length;
      if (tag >> 3 === 1) {
        view = { t: "open", open: fromBinary(OpenStreamSchema, bytes.subarray(cursor.position, end)) };
        cursor.advance(length);
      } else {
        view = readStreamBatch(bytes, end);
      }
    }
    return view;
  } catch (error) {
    return malformed(error);
  }
}

function readStreamBatch(bytes: Buffer, end: number): StreamView {
  let sequence = 0;
  let traceparent = "";
  let start = end;
  let batchEnd = end;
  let batches = 0;
  while (cursor.position < end) {
    const tag = cursor.tag();
    switch (tag) {
      case (1 << 3) | 0:
        sequence = cursor.uint53();
        break;
      case (2 << 3) | 2: {
        const length = cursor.length();
        traceparent = bytes.toString("latin1", cursor.position, cursor.position + length);
        cursor.advance(length);
        break;
      }
      case (3 << 3) | 2: {
        if (++batches > 1) throw new WireError("more than one batch");
        const length = cursor.length();
        start = cursor.position;
        batchEnd = start + length;
        cursor.advance(length);
        break;
      }
      default:
        cursor.skip(tag);
    }
  }
  if (cursor.position !== end) throw new WireError("a field beyond the end of its message");
  return { t: "batch", sequence, traceparent, bytes, start, end: batchEnd };
}

function malformed(error: unknown): MalformedView {
  return { t: "malformed", problem: error instanceof Error ? error.message : String(error) };
}
