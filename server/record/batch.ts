/**
 * Walks an encoded RecordBatch: checks its shape and counts its records, without decoding it.
 *
 * @module
 */

import { type Cursor, isUtf8, WireError } from "./wire.ts";

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
 * @param starts - when given, receives where each record's tag begins, as far as it has room
 * @throws WireError when the bytes are no RecordBatch
 */
export function walkBatch(cursor: Cursor, starts?: Uint32Array): number {
  const end = cursor.end;
  let count = 0;
  while (cursor.position < end) {
    if (starts !== undefined && count < starts.length) starts[count] = cursor.position;
    if (cursor.bytes[cursor.position] !== recordTag)
      throw new WireError("something other than a record in the batch");
    cursor.position++;
    const length = cursor.length();
    cursor.end = cursor.position + length;
    walkRecord(cursor);
    cursor.end = end;
    count++;
  }
  return count;
}

function walkRecord(cursor: Cursor): void {
  while (cursor.position < cursor.end) {
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
        if (tag >> 3 <= 4) throw new WireError(`field ${tag >> 3} of a record with wire type ${tag & 7}`);
        cursor.skip(tag);
    }
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
      cursor.position += length;
    } else if (tag === headerValueTag) {
      cursor.advance(cursor.length());
    } else if (tag >> 3 <= 2) {
      throw new WireError(`field ${tag >> 3} of a header with wire type ${tag & 7}`);
    } else {
      cursor.skip(tag);
    }
  }
  cursor.end = recordEnd;
}
