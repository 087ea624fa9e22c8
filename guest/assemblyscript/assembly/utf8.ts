/** The length of the well-formed UTF-8 sequence outside ASCII at `at`, or 0. Table 3-7 of the Unicode Standard. */
export function sequenceLength(at: usize, end: usize): usize {
  const first = load<u8>(at);
  const left = end - at;
  if (first >= 0xc2 && first <= 0xdf) {
    return left >= 2 && isContinuation(at + 1) ? 2 : 0;
  }
  if (first >= 0xe0 && first <= 0xef) {
    if (left < 3 || !isContinuation(at + 1) || !isContinuation(at + 2)) return 0;
    const second = load<u8>(at + 1);
    if (first == 0xe0 && second < 0xa0) return 0; // longer than needed
    if (first == 0xed && second >= 0xa0) return 0; // a surrogate
    return 3;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    if (left < 4 || !isContinuation(at + 1) || !isContinuation(at + 2) || !isContinuation(at + 3)) return 0;
    const second = load<u8>(at + 1);
    if (first == 0xf0 && second < 0x90) return 0;
    if (first == 0xf4 && second >= 0x90) return 0; // beyond U+10FFFF
    return 4;
  }
  return 0;
}

// @ts-ignore: decorator
@inline
function isContinuation(at: usize): bool {
  return (load<u8>(at) & 0xc0) == 0x80;
}

/** Whether `[from, end)` is well-formed UTF-8. */
export function isUtf8(from: usize, end: usize): bool {
  let at = from;
  while (at < end) {
    if (at + 8 <= end && (load<u64>(at) & 0x8080808080808080) == 0) {
      at += 8;
    } else if (load<u8>(at) < 0x80) {
      at++;
    } else {
      const length = sequenceLength(at, end);
      if (length == 0) return false;
      at += length;
    }
  }
  return true;
}

/**
 * The text that `[from, end)` spells, for bytes that are not well-formed: each maximal part of a sequence that breaks off, and each byte that
 * begins none, becomes one U+FFFD, as in the decoders of browsers. https://encoding.spec.whatwg.org/#utf-8-decoder
 */
export function decodeBroken(from: usize, end: usize): string {
  // No sequence gives more UTF-16 units than it has bytes.
  const text = __new((end - from) << 1, idof<string>());
  let to = text;
  let at = from;
  while (at < end) {
    const first = <u32>load<u8>(at);
    const length = first < 0x80 ? 1 : <i32>sequenceLength(at, end);
    if (length == 0) {
      store<u16>(to, 0xfffd);
      at += brokenLength(at, end);
    } else {
      let code = length == 1 ? first : first & (0x7f >> length);
      for (let i = 1; i < length; i++) code = (code << 6) | (load<u8>(at + <usize>i) & 0x3f);
      if (code >= 0x10000) {
        store<u16>(to, 0xd7c0 + (code >> 10)); // 0xd800 less what the first 0x10000 code points would give
        to += 2;
        code = 0xdc00 | (code & 0x3ff);
      }
      store<u16>(to, code);
      at += <usize>length;
    }
    to += 2;
  }
  return changetype<string>(__renew(text, to - text));
}

/** How many bytes at `at`, where no sequence is well-formed, could begin one: at least 1. */
function brokenLength(at: usize, end: usize): usize {
  const first = load<u8>(at);
  if (first < 0xc2 || first > 0xf4 || at + 1 >= end) return 1;
  const second = load<u8>(at + 1);
  const least: u8 = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
  const most: u8 = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
  if (second < least || second > most) return 1;
  return first >= 0xf0 && at + 2 < end && isContinuation(at + 2) ? 3 : 2;
}

/** Writes a code point as UTF-8 and returns the address behind it. A lone surrogate becomes U+FFFD. */
export function writeCodePoint(at: usize, code: u32): usize {
  if (code >= 0xd800 && code <= 0xdfff) code = 0xfffd;
  if (code < 0x80) {
    store<u8>(at, <u8>code);
    return at + 1;
  }
  if (code < 0x800) {
    store<u8>(at, <u8>(0xc0 | (code >> 6)));
    store<u8>(at + 1, <u8>(0x80 | (code & 0x3f)));
    return at + 2;
  }
  if (code < 0x10000) {
    store<u8>(at, <u8>(0xe0 | (code >> 12)));
    store<u8>(at + 1, <u8>(0x80 | ((code >> 6) & 0x3f)));
    store<u8>(at + 2, <u8>(0x80 | (code & 0x3f)));
    return at + 3;
  }
  store<u8>(at, <u8>(0xf0 | (code >> 18)));
  store<u8>(at + 1, <u8>(0x80 | ((code >> 12) & 0x3f)));
  store<u8>(at + 2, <u8>(0x80 | ((code >> 6) & 0x3f)));
  store<u8>(at + 3, <u8>(0x80 | (code & 0x3f)));
  return at + 4;
}
