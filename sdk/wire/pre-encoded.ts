/**
 * Requests that bring their own encoding, made in one allocation of the right size.
 *
 * protobuf-es encodes into a buffer that doubles as it grows and is copied at the end: for a batch of
 * 28 KB that is five times the batch in garbage, and this garbage was half of the client's CPU. The
 * gRPC transport sends `bytes` as they are; any other transport sees ordinary messages.
 *
 * @module
 */

import { create, toBinary } from "@bufbuild/protobuf";
import type { Target } from "@leat/proto";
import { TargetSchema } from "@leat/proto";
import type { TargetInput } from "../target.ts";
import { targetInit } from "../target.ts";
import type { StreamBatchView, StreamRequestView, TransformRequestView } from "./view.ts";

/** A message that is encoded already. */
export abstract class PreEncoded {
  /** The encoded message. */
  abstract readonly bytes: Buffer;
}

/** A target, with its encoding as field 1 of a request. */
export interface EncodedTarget {
  readonly target: Target;
  readonly field: Uint8Array;
}

/** Encodes a target for {@link EncodedTransformRequest}. */
export function encodeTarget(input: TargetInput): EncodedTarget {
  const target = create(TargetSchema, targetInit(input));
  const content = toBinary(TargetSchema, target);
  const field = Buffer.allocUnsafe(1 + varintSize(content.length) + content.length);
  field.set(content, writeLength(field, 0, 0x0a, content.length));
  return { target, field };
}

/** `leat.v1.TransformRequest`. */
export class EncodedTransformRequest extends PreEncoded implements TransformRequestView {
  readonly $typeName = "leat.v1.TransformRequest";
  readonly target: Target;
  readonly batch: Uint8Array;

  constructor({ target, field }: EncodedTarget, batch: Uint8Array) {
    super();
    this.target = target;
    this.batch = batch;
    this.#field = field;
  }

  readonly #field: Uint8Array;

  get bytes(): Buffer {
    const { batch } = this;
    const size = this.#field.length + 1 + varintSize(batch.length) + batch.length;
    const bytes = Buffer.allocUnsafe(size);
    bytes.set(this.#field, 0);
    bytes.set(batch, writeLength(bytes, this.#field.length, 0x12, batch.length));
    return bytes;
  }
}

/** `leat.v1.StreamTransformRequest` with a batch. */
export class EncodedStreamBatch extends PreEncoded implements StreamRequestView {
  readonly $typeName = "leat.v1.StreamTransformRequest";
  readonly #sequence: number;
  readonly #traceparent: string;
  readonly #batch: Uint8Array;

  constructor(sequence: number, traceparent: string, batch: Uint8Array) {
    super();
    this.#sequence = sequence;
    this.#traceparent = traceparent;
    this.#batch = batch;
  }

  get message(): { case: "batch"; value: StreamBatchView } {
    const value: StreamBatchView = {
      $typeName: "leat.v1.StreamBatch",
      sequence: BigInt(this.#sequence),
      traceparent: this.#traceparent,
      batch: this.#batch,
    };
    return { case: "batch", value };
  }

  get bytes(): Buffer {
    // A traceparent is ASCII, so its length in characters is its length in bytes.
    const trace = this.#traceparent;
    const traceSize = trace === "" ? 0 : 1 + varintSize(trace.length) + trace.length;
    const batchSize = this.#batch.length;
    const content = 1 + varintSize(this.#sequence) + traceSize + 1 + varintSize(batchSize) + batchSize;
    const bytes = Buffer.allocUnsafe(1 + varintSize(content) + content);
    let pos = writeLength(bytes, 0, 0x12, content);
    pos = writeLength(bytes, pos, 0x08, this.#sequence);
    if (trace !== "") {
      pos = writeLength(bytes, pos, 0x12, trace.length);
      pos += bytes.write(trace, pos, "latin1");
    }
    bytes.set(this.#batch, writeLength(bytes, pos, 0x1a, batchSize));
    return bytes;
  }
}

/** Writes a tag and a varint. @returns where they end */
function writeLength(bytes: Buffer, start: number, tag: number, value: number): number {
  let pos = start;
  bytes[pos++] = tag;
  let rest = value;
  while (rest > 0x7f) {
    bytes[pos++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  bytes[pos++] = rest;
  return pos;
}

function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest > 0x7f; rest = Math.floor(rest / 0x80)) size++;
  return size;
}
