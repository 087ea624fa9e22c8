// The same as `uppercase`, written by hand against guest ABI 1 with nothing but loads and stores. It is there for the benchmark: what the
// kit costs is the difference. Built without SIMD it turns letters byte by byte.
//
// Configuration: none.

@external("leat", "begin_record")
declare function beginRecord(index: i32): void;

let inputSize: usize = 0;

/** Room behind input and output for vectors that overshoot. */
const SLACK: usize = 32;

export function leat_alloc(size: usize): usize {
  inputSize = size;
  // The output is as long as the input: no length changes.
  const needed = <i32>((__heap_base + 2 * (size + SLACK) + 16 + 0xffff) >>> 16);
  if (needed > memory.size() && memory.grow(needed - memory.size()) < 0) unreachable();
  return __heap_base;
}

export function leat_transform(ptr: usize, len: usize): u64 {
  const start = ptr + len + SLACK;
  const end = ptr + len;
  // The head of the result: the batch's tag and length.
  let to = writeLength(start + 1, len);
  store<u8>(start, 0x0a);
  let at = ptr;
  let index = 0;
  while (at < end) {
    beginRecord(index++);
    store<u8>(to, 0x0a);
    const length = readLength(at + 1);
    at = next;
    to = writeLength(to + 1, length);
    to = copyRecord(to, at, at + length);
    at += length;
  }
  return (<u64>start << 32) | <u64>(to - start);
}

/** Where reading goes on. */
let next: usize = 0;

// @ts-ignore: decorator
@inline
function readLength(at: usize): usize {
  let length = <usize>load<u8>(at++);
  if (length >= 0x80) {
    length &= 0x7f;
    let shift: usize = 7;
    while (true) {
      const byte = <usize>load<u8>(at++);
      length |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
      shift += 7;
    }
  }
  next = at;
  return length;
}

// @ts-ignore: decorator
@inline
function writeLength(at: usize, length: usize): usize {
  while (length >= 0x80) {
    store<u8>(at++, <u8>(length | 0x80));
    length >>= 7;
  }
  store<u8>(at++, <u8>length);
  return at;
}

/** Copies the fields of one record, the value in upper case. */
// @ts-ignore: decorator
@inline
function copyRecord(to: usize, from: usize, end: usize): usize {
  let at = from;
  while (at < end) {
    const field = at;
    const tag = load<u8>(at);
    if (tag == 0x12) {
      const length = readLength(at + 1);
      at = next;
      store<u8>(to, tag);
      to = writeLength(to + 1, length);
      upper(to, at, length);
      to += length;
      at += length;
      continue;
    }
    if (tag == 0x0a || tag == 0x1a) {
      const length = readLength(at + 1);
      at = next + length;
    } else {
      at = skipField(at);
    }
    copy(to, field, at - field);
    to += at - field;
  }
  return to;
}

/** The address behind a field of any kind. */
function skipField(at: usize): usize {
  const type = readLength(at) & 7;
  at = next;
  if (type == 0) {
    while (load<u8>(at++) >= 0x80) {}
  } else if (type == 1) {
    at += 8;
  } else if (type == 5) {
    at += 4;
  } else {
    const length = readLength(at);
    at = next + length;
  }
  return at;
}

// @ts-ignore: decorator
@inline
function copy(to: usize, from: usize, length: usize): void {
  if (ASC_FEATURE_SIMD) {
    for (let i: usize = 0; i < length; i += 16) v128.store(to + i, v128.load(from + i));
  } else {
    for (let i: usize = 0; i < length; i++) store<u8>(to + i, load<u8>(from + i));
  }
}

// @ts-ignore: decorator
@inline
function upper(to: usize, from: usize, length: usize): void {
  if (ASC_FEATURE_SIMD) {
    for (let i: usize = 0; i < length; i += 16) {
      const lane = v128.load(from + i);
      const small = i8x16.lt_u(i8x16.sub(lane, i8x16.splat(0x61)), i8x16.splat(26));
      v128.store(to + i, v128.xor(lane, v128.and(small, i8x16.splat(0x20))));
    }
  } else {
    for (let i: usize = 0; i < length; i++) {
      const byte = load<u8>(from + i);
      store<u8>(to + i, byte ^ (<u8>(<u8>(byte - 0x61) < 26) << 5));
    }
  }
}
