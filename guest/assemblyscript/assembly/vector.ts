// Loops over bytes, 16 at a time where the module is built with SIMD.

/**
 * Copies `length` bytes forward to a place that does not overlap and behind which up to 15 bytes may be overwritten.
 * Below about 100 bytes this beats `memory.copy`, which is a call out of the module.
 */
// @ts-ignore: decorator
@inline
export function copyLoose(to: usize, from: usize, length: usize): void {
  if (ASC_FEATURE_SIMD && length <= 96) {
    for (let at: usize = 0; at < length; at += 16) v128.store(to + at, v128.load(from + at));
  } else {
    memory.copy(to, from, length);
  }
}

/** Turns one letter's case: letters from `first` to `first + 25` get bit 5 flipped. */
// @ts-ignore: decorator
@inline
function flipByte(byte: u8, first: u8): u8 {
  return byte ^ (<u8>(<u8>(byte - first) < 26) << 5);
}

// @ts-ignore: decorator
@inline
function flipLane(lane: v128, first: u8): v128 {
  const inRange = i8x16.lt_u(i8x16.sub(lane, i8x16.splat(first)), i8x16.splat(26));
  return v128.xor(lane, v128.and(inRange, i8x16.splat(0x20)));
}

/** Copies `length` bytes, flipping the case of the ASCII letters from `first` on. In place is allowed, other overlaps are not. */
// @ts-ignore: decorator
@inline
export function flipCase(to: usize, from: usize, length: usize, first: u8): void {
  if (ASC_FEATURE_SIMD && length >= 16) {
    const last = length - 16;
    // The last vector overlaps the one before, and must be read before that is written in place.
    const tail = v128.load(from + last);
    for (let at: usize = 0; at < last; at += 16) v128.store(to + at, flipLane(v128.load(from + at), first));
    v128.store(to + last, flipLane(tail, first));
  } else {
    for (let at: usize = 0; at < length; at++) store<u8>(to + at, flipByte(load<u8>(from + at), first));
  }
}

/** The address of the first `byte` in `[from, end)`, or `end`. Up to 15 bytes behind `end` may be read. */
export function findByte(from: usize, end: usize, byte: u8): usize {
  if (ASC_FEATURE_SIMD) {
    const wanted = i8x16.splat(byte);
    for (let at = from; at < end; at += 16) {
      const mask = i8x16.bitmask(i8x16.eq(v128.load(at), wanted));
      if (mask != 0) return min(at + ctz(mask), end);
    }
    return end;
  }
  let at = from;
  while (at < end && load<u8>(at) != byte) at++;
  return at;
}

/** Whether the `length` bytes at both addresses are the same. */
export function equalBytes(left: usize, right: usize, length: usize): bool {
  let at: usize = 0;
  for (; at + 8 <= length; at += 8) if (load<u64>(left + at) != load<u64>(right + at)) return false;
  for (; at < length; at++) if (load<u8>(left + at) != load<u8>(right + at)) return false;
  return true;
}

/**
 * The address of the first byte in `[from, end)` that ends a plain run inside a JSON string (a quote, a backslash, a
 * control character or a byte outside ASCII), or `end`. Up to 15 bytes behind `end` may be read.
 */
// @ts-ignore: decorator
@inline
export function findStringBreak(from: usize, end: usize): usize {
  let at = from;
  if (ASC_FEATURE_SIMD) {
    while (at < end) {
      const lane = v128.load(at);
      const quote = i8x16.eq(lane, i8x16.splat(0x22));
      const backslash = i8x16.eq(lane, i8x16.splat(0x5c));
      // Signed: control characters are below 0x20, and so are the bytes from 0x80 on.
      const outside = i8x16.lt_s(lane, i8x16.splat(0x20));
      const mask = i8x16.bitmask(v128.or(v128.or(quote, backslash), outside));
      if (mask != 0) return min(at + ctz(mask), end);
      at += 16;
    }
    return end;
  }
  while (at < end) {
    const byte = load<u8>(at);
    if (byte < 0x20 || byte >= 0x80 || byte == 0x22 || byte == 0x5c) break;
    at++;
  }
  return at;
}
