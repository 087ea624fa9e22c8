/**
 * Walks an encoded RecordBatch: checks its shape and counts its records, without decoding it.
 *
 * @module
 */

import { Cursor, isUtf8, WireError } from "./wire.ts";

/** `RecordBatch.records`, length-delimited. */
export const recordTag = (1 << 3) | 2;

const keyTag = (1 << 3) | 2;
const valueTag = (2 << 3) | 2;
const headersTag = (3 << 3) | 2;
const timestampTag = (4 << 3) | 0;
const headerKeyTag = (1 << 3) | 2;
const headerValueTag = (2 << 3) | 2;

/**
 * Checks the RecordBatch under the cursor down to its headers and returns how many records it has.
 * What passes decodes in any protobuf library. Unknown fields are passed over inside records and
 * refused between them, since the data path counts on records lying end to end.
 *
 * Every batch passes here on its way in and out, so the usual fields (lengths of one or two bytes) are read in place;
 * whatever is less usual goes through the cursor.
 *
 * @throws WireError when the bytes are no RecordBatch
 */
export function walkBatch(cursor: Cursor): number {
  const { bytes, end } = cursor;
  let position = cursor.position;
  let count = 0;
  while (position < end) {
    if (bytes[position] !== recordTag) throw new WireError("something other than a record in the batch");
    cursor.position = position + 1;
    const recordEnd = cursor.length() + cursor.position;
    position = cursor.position;
    while (position < recordEnd) {
      const tag = bytes[position] as number;
      const low = bytes[position + 1] as number;
      if (tag === keyTag || tag === valueTag) {
        if (low < 0x80) {
          position += 2 + low;
          continue;
        }
        const high = bytes[position + 2] as number;
        if (high < 0x80) {
          position += 3 + (low & 0x7f) + (high << 7);
          continue;
        }
      }
      cursor.position = position;
      cursor.end = recordEnd;
      walkField(cursor);
      position = cursor.position;
      cursor.end = end;
    }
    if (position !== recordEnd) throw new WireError("a field beyond the end of its record");
    count++;
  }
  cursor.position = position;
  return count;
}

/** Passes over one field of a record. */
function walkField(cursor: Cursor): void {
  const tag = cursor.tag();
  switch (tag) {
    case keyTag:
    case valueTag:
      cursor.advance(cursor.length());
      break;
    case headersTag:
      walkHeader(cursor);
      break;
    case timestampTag:
      cursor.skipVarint();
      break;
    default:
      if (tag >>> 3 <= 4) throw new WireError(`field ${tag >>> 3} of a record with wire type ${tag & 7}`);
      cursor.skip(tag);
  }
}

function walkHeader(cursor: Cursor): void {
  const recordEnd = cursor.end;
  const headerEnd = cursor.length() + cursor.position;
  cursor.end = headerEnd;
  while (cursor.position < headerEnd) {
    const tag = cursor.tag();
    if (tag === headerKeyTag) {
      const length = cursor.length();
      if (!isUtf8(cursor.bytes, cursor.position, cursor.position + length)) {
        throw new WireError("a header's key is not UTF-8");
      }
      cursor.advance(length);
    } else if (tag === headerValueTag) {
      cursor.advance(cursor.length());
    } else if (tag >>> 3 <= 2) {
      throw new WireError(`field ${tag >>> 3} of a header with wire type ${tag & 7}`);
    } else {
      cursor.skip(tag);
    }
  }
  cursor.end = recordEnd;
}

/** One record of an encoded batch. */
export interface RecordBody {
  /** With its tag and length: a batch of one. */
  readonly framed: Buffer;
  /** The encoded Record alone. */
  readonly body: Buffer;
}

/** The records of a batch that was checked before, as views of its bytes. Allocates: not for the hot path. */
export function recordBodies(bytes: Buffer, start: number, end: number): RecordBody[] {
  const cursor = new Cursor();
  cursor.reset(bytes, start, end);
  const bodies: RecordBody[] = [];
  while (!cursor.done) {
    const from = cursor.position++;
    const length = cursor.length();
    const bodyStart = cursor.position;
    cursor.advance(length);
    bodies.push({
      framed: bytes.subarray(from, cursor.position),
      body: bytes.subarray(bodyStart, cursor.position),
    });
  }
  return bodies;
}
