// The protobuf wire format, as far as records need it: https://protobuf.dev/programming-guides/encoding

/** Tags of the messages in `leat/v1/record.proto`: field number << 3 | wire type. */
// @ts-ignore: decorator
@inline export const BATCH_RECORD: u8 = 0x0a;
// @ts-ignore: decorator
@inline export const RECORD_KEY: u8 = 0x0a;
// @ts-ignore: decorator
@inline export const RECORD_VALUE: u8 = 0x12;
// @ts-ignore: decorator
@inline export const RECORD_HEADER: u8 = 0x1a;
// @ts-ignore: decorator
@inline export const RECORD_TIMESTAMP: u8 = 0x20;
// @ts-ignore: decorator
@inline export const HEADER_KEY: u8 = 0x0a;
// @ts-ignore: decorator
@inline export const HEADER_VALUE: u8 = 0x12;

/** Where reading goes on: set by `readVarint`. */
export let cursor: usize = 0;

/** Whether anything read since `clearFlaw` was not well-formed. */
export let flawed: bool = false;

export function clearFlaw(): void {
  flawed = false;
}

/** Notes a flaw, and makes whoever reads on find the end, which it returns. */
export function noteFlaw(end: usize): usize {
  flawed = true;
  cursor = end;
  return end;
}

/** Reads a varint of up to 64 bits at `at` and leaves `cursor` behind it. */
export function readVarint(at: usize, end: usize): u64 {
  let value: u64 = 0;
  let shift: u64 = 0;
  while (at < end && shift < 70) {
    const byte = load<u8>(at++);
    value |= <u64>(byte & 0x7f) << shift;
    if (byte < 0x80) {
      cursor = at;
      return value;
    }
    shift += 7;
  }
  noteFlaw(end);
  return 0;
}

/**
 * Reads the length at `at`, of something that is known to end by `end`. Returns it in the lower half, and the address of what it
 * measures in the upper one: two results in registers, where a global would go through memory in the hottest loop.
 */
// @ts-ignore: decorator
@inline
export function readSpan(at: usize, end: usize): u64 {
  let length = <usize>load<u8>(at++);
  if (length >= 0x80) {
    const second = <usize>load<u8>(at++);
    if (second >= 0x80) return readLongSpan(at - 2, end);
    length = (length & 0x7f) | (second << 7);
  }
  if (at > end || length > end - at) return noteFlawedSpan(end);
  return (<u64>at << 32) | <u64>length;
}

/** The address in a span. */
// @ts-ignore: decorator
@inline
export function spanStart(span: u64): usize {
  return <usize>(span >> 32);
}

/** The length in a span. */
// @ts-ignore: decorator
@inline
export function spanLength(span: u64): usize {
  return <usize>(span & 0xffffffff);
}

/** The address behind a span. */
// @ts-ignore: decorator
@inline
export function spanEnd(span: u64): usize {
  return spanStart(span) + spanLength(span);
}

function readLongSpan(at: usize, end: usize): u64 {
  const length = readVarint(at, end);
  if (length > <u64>(end - cursor)) return noteFlawedSpan(end);
  return (<u64>cursor << 32) | length;
}

function noteFlawedSpan(end: usize): u64 {
  return <u64>noteFlaw(end) << 32;
}

/** Skips the field whose tag begins at `at` and returns where the next one begins. */
export function skipField(at: usize, end: usize): usize {
  const tag = readVarint(at, end);
  switch (<u32>tag & 7) {
    case 0:
      readVarint(cursor, end);
      return cursor;
    case 1:
      return skipFixed(8, end);
    case 2:
      return spanEnd(readSpan(cursor, end));
    case 5:
      return skipFixed(4, end);
    default:
      // Groups are not part of this protocol.
      noteFlaw(end);
      return end;
  }
}

function skipFixed(size: usize, end: usize): usize {
  if (end - cursor >= size) return cursor + size;
  noteFlaw(end);
  return end;
}

/** How many bytes a length takes. */
// @ts-ignore: decorator
@inline
export function lengthBytes(length: usize): usize {
  if (length < 0x80) return 1;
  if (length < 0x4000) return 2;
  if (length < 0x200000) return 3;
  return length < 0x10000000 ? 4 : 5;
}

/** Writes a length and returns the address behind it. */
// @ts-ignore: decorator
@inline
export function writeLength(at: usize, length: usize): usize {
  if (length < 0x80) {
    store<u8>(at, <u8>length);
    return at + 1;
  }
  if (length < 0x4000) {
    store<u8>(at, <u8>(length | 0x80));
    store<u8>(at + 1, <u8>(length >> 7));
    return at + 2;
  }
  return writeVarint(at, length);
}

/** Writes a varint and returns the address behind it. */
export function writeVarint(at: usize, value: u64): usize {
  while (value >= 0x80) {
    store<u8>(at++, <u8>(value | 0x80));
    value >>= 7;
  }
  store<u8>(at++, <u8>value);
  return at;
}
