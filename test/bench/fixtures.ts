/**
 * The records that all cases work on. The same seed makes the same bytes on every machine.
 *
 * @module
 */

import { create, toBinary } from "@bufbuild/protobuf";
import { type Record as LeatRecord, type RecordBatch, RecordBatchSchema, RecordSchema } from "@leat/proto";

/** Records in one batch of the stream cases. */
export const recordsPerBatch = 100;
/** Bytes of one record's value. */
export const valueBytes = 256;

const seed = 0x1ea7;
const firstPrintable = 0x20;
const lastPrintable = 0x7e;

/** A small generator of pseudo-random numbers (mulberry32): whole numbers below 2^32. */
export function makeRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
}

/** Makes records with an 8-byte key, printable ASCII of {@link valueBytes} bytes as value, and a timestamp. */
export function makeRecords(count: number): LeatRecord[] {
  const random = makeRandom(seed);
  return Array.from({ length: count }, (_, index) => {
    const value = new Uint8Array(valueBytes);
    for (let i = 0; i < valueBytes; i++) {
      value[i] = firstPrintable + (random() % (lastPrintable - firstPrintable + 1));
    }
    return create(RecordSchema, {
      key: Buffer.from((random() >>> 0).toString(16).padStart(8, "0")),
      value,
      timestampMs: 1_700_000_000_000n + BigInt(index),
    });
  });
}

/** Makes one batch. */
export function makeBatch(records = recordsPerBatch): RecordBatch {
  return create(RecordBatchSchema, { records: makeRecords(records) });
}

/** Makes one batch in its wire form. */
export function makeBatchBytes(records = recordsPerBatch): Uint8Array {
  return toBinary(RecordBatchSchema, makeBatch(records));
}

/** What the uppercase modules must make of a value. Plain and slow, for checks only. */
export function uppercased(value: Uint8Array): Uint8Array {
  return value.map((byte) => (byte >= 0x61 && byte <= 0x7a ? byte - 0x20 : byte));
}
