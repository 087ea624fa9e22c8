/**
 * The requests of a stream in wire form, made once; only the sequence number is written anew for each.
 *
 * @module
 */

import { create, toBinary } from "@bufbuild/protobuf";
import { StreamTransformRequestSchema, type Target } from "@leat/proto";
import { makeBatch } from "../fixtures.ts";

/** Streams start behind this number, so that every sequence has the same length as a varint: 5 bytes. */
export const afterSequence = 2 ** 28;
const sequenceVarintBytes = 5;

/** The request that opens a stream. */
export function openingRequest(target: Target, window: number): Buffer {
  return Buffer.from(
    toBinary(
      StreamTransformRequestSchema,
      create(StreamTransformRequestSchema, {
        message: { case: "open", value: { target, window, afterSequence: BigInt(afterSequence) } },
      }),
    ),
  );
}

/** Makes the batch requests of one stream out of a ring of ready buffers. */
export class BatchRequests {
  readonly #ring: Buffer[];
  readonly #sequenceAt: number;

  /** @param window - the most requests that may be unanswered at once */
  constructor(window: number) {
    const sequence = BigInt(afterSequence + 1);
    const request = create(StreamTransformRequestSchema, {
      message: { case: "batch", value: { sequence, batch: makeBatch() } },
    });
    const encoded = toBinary(StreamTransformRequestSchema, request);
    this.#sequenceAt = findSequence(encoded);
    // Twice the window: a buffer is written again only after the answer to its last use has long come.
    this.#ring = Array.from({ length: window * 2 }, () => Buffer.from(encoded));
  }

  /** The request for the nth batch of the stream, from 1. */
  nth(n: number): Buffer {
    const request = this.#ring[n % this.#ring.length];
    if (!request) throw new Error("the ring is empty");
    let rest = afterSequence + n;
    for (let i = 0; i < sequenceVarintBytes; i++) {
      request[this.#sequenceAt + i] = (rest & 0x7f) | (i < sequenceVarintBytes - 1 ? 0x80 : 0);
      rest = Math.floor(rest / 128);
    }
    return request;
  }
}

/** StreamTransformRequest.batch is field 2; its first field is the sequence, tag 8. */
function findSequence(encoded: Uint8Array): number {
  let at = 1;
  while ((encoded[at] ?? 0) >= 0x80) at++;
  if (encoded[0] !== 0x12 || encoded[at + 1] !== 0x08)
    throw new Error("the request is not encoded as expected");
  return at + 2;
}
