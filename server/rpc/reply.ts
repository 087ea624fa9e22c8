/**
 * Responses of the data plane. A result's bytes stay in the worker's shared memory until grpc-js
 * copies them into its own frame; only their head is written here, into the room before them.
 *
 * @module
 */

import type { BatchResult } from "../pool/batch-job.ts";
import { varintSize, writeVarint } from "../record/wire.ts";

/** A response whose bytes may still lie in shared memory. */
export class Reply {
  #bytes: Buffer;
  #start: number;
  #end: number;
  #result: BatchResult | undefined;

  constructor(bytes: Buffer, start: number, end: number, result: BatchResult | undefined) {
    this.#bytes = bytes;
    this.#start = start;
    this.#end = end;
    this.#result = result;
  }

  /**
   * The encoded response, for grpc-js to copy at once. Gives the shared memory back: nothing writes to it before
   * the next turn of the event loop, and grpc-js copies in this one.
   */
  serialize(): Buffer {
    const view = this.#bytes.subarray(this.#start, this.#end);
    this.#release();
    return view;
  }

  /** Whether the bytes still lie in shared memory. */
  get isAttached(): boolean {
    return this.#result !== undefined;
  }

  /** Copies the bytes out of shared memory if they are still there: they may have to wait for long. */
  detach(): void {
    if (this.#result === undefined) return;
    const copy = Buffer.allocUnsafe(this.#end - this.#start);
    this.#bytes.copy(copy, 0, this.#start, this.#end);
    this.#bytes = copy;
    this.#end = copy.length;
    this.#start = 0;
    this.#release();
  }

  /** As {@link detach}, but only where the shared memory is needed: else grpc-js will take the bytes from there soon. */
  detachIfScarce(): void {
    if (this.#result?.scarce) this.detach();
  }

  #release(): void {
    const result = this.#result;
    this.#result = undefined;
    result?.release();
  }
}

/** Serializes any {@link Reply} for grpc-js. */
export function serializeReply(reply: Reply): Buffer {
  return reply.serialize();
}

/** A response that was encoded elsewhere. */
export function encodedReply(bytes: Uint8Array): Reply {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return new Reply(buffer, 0, buffer.length, undefined);
}

/** `TransformResponse.result`. */
const responseResultTag = (1 << 3) | 2;
/** `StreamTransformResponse.result`. */
const streamResultTag = (2 << 3) | 2;
/** `StreamResult.sequence`. */
const sequenceTag = (1 << 3) | 0;
/** `StreamResult.result`. */
const resultTag = (2 << 3) | 2;

/** A TransformResponse around a result. */
export function transformReply(result: BatchResult): Reply {
  const start = result.start - 1 - varintSize(result.length);
  result.bytes[start] = responseResultTag;
  writeVarint(result.bytes, start + 1, result.length);
  return new Reply(result.bytes, start, result.start + result.length, result);
}

/** A StreamTransformResponse with the result of a batch. */
export function streamReply(sequence: number, result: BatchResult): Reply {
  const { bytes, length } = result;
  const innerLength = 1 + varintSize(sequence) + 1 + varintSize(length) + length;
  const start = result.start + length - innerLength - 1 - varintSize(innerLength);
  bytes[start] = streamResultTag;
  let position = writeVarint(bytes, start + 1, innerLength);
  bytes[position++] = sequenceTag;
  position = writeVarint(bytes, position, sequence);
  bytes[position++] = resultTag;
  writeVarint(bytes, position, length);
  return new Reply(bytes, start, result.start + length, result);
}
