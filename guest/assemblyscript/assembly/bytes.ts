import { take } from "./arena";
import { equalBytes, findByte, flipCase } from "./vector";
import { parseNumber } from "./number";
import { decodeBroken, isUtf8 } from "./utf8";

// @ts-ignore: decorator
@inline
function isSpace(byte: u8): bool {
  return byte == 0x20 || (byte >= 0x09 && byte <= 0x0d);
}

// @ts-ignore: decorator
@inline
function hexDigit(value: u8): u8 {
  return value + (value < 10 ? 0x30 : 0x57);
}

/**
 * A view of bytes: of the input, of the output or of memory made with `Bytes.alloc`. It copies nothing and owns
 * nothing. A view that a record or the output handed out is good until `transform` returns; one that was made in
 * `configure` or at the top level stays.
 */
@unmanaged
export class Bytes {
  /** The byte at an index: see `get` and `set`. */
  [key: number]: u8;

  /** The address of the first byte. */
  ptr: usize;
  /** How many bytes there are. */
  length: i32;

  /** A view of the `length` bytes at `ptr`. */
  // @ts-ignore: decorator
  @inline
  static at(ptr: usize, length: i32): Bytes {
    const view = changetype<Bytes>(take(offsetof<Bytes>()));
    view.ptr = ptr;
    view.length = length;
    return view;
  }

  /** New bytes, zeroed. They live as long as what else is allocated at that time: see `configure`. */
  static alloc(length: i32): Bytes {
    assert(length >= 0, "Bytes.alloc: negative length");
    const ptr = take(<usize>length);
    memory.fill(ptr, 0, <usize>length);
    return Bytes.at(ptr, length);
  }

  /** The UTF-8 encoding of `text`. Half a surrogate pair becomes U+FFFD. */
  static of(text: string): Bytes {
    const encoded = String.UTF8.encode(text, false, String.UTF8.ErrorMode.REPLACE);
    return Bytes.at(changetype<usize>(encoded), encoded.byteLength);
  }

  /** A view of an array's bytes. The array stays the owner and must not grow meanwhile. */
  static wrap(array: Uint8Array): Bytes {
    return Bytes.at(array.dataStart, array.length);
  }

  /** The byte at `index`. Traps when there is none. */
  // @ts-ignore: decorator
  @inline @operator("[]")
  get(index: i32): u8 {
    assert(<u32>index < <u32>this.length, "Bytes: index out of range");
    return load<u8>(this.ptr + <usize>index);
  }

  /** Sets the byte at `index`. Traps when there is none. Write only to bytes you made or the output gave you. */
  // @ts-ignore: decorator
  @inline @operator("[]=")
  set(index: i32, byte: u8): void {
    assert(<u32>index < <u32>this.length, "Bytes: index out of range");
    store<u8>(this.ptr + <usize>index, byte);
  }

  /** The view of the bytes from `start` up to, not including, `end`. Both are clamped to what there is. */
  slice(start: i32, end: i32 = i32.MAX_VALUE): Bytes {
    const to = max(min(end, this.length), 0);
    const from = min(max(start, 0), to);
    return Bytes.at(this.ptr + <usize>from, to - from);
  }

  /** The position of the first `byte` from `start` on, or -1. */
  indexOf(byte: u8, start: i32 = 0): i32 {
    if (start < 0) start = 0;
    if (start >= this.length) return -1;
    const end = this.ptr + <usize>this.length;
    const found = findByte(this.ptr + <usize>start, end, byte);
    return found == end ? -1 : <i32>(found - this.ptr);
  }

  /** The position of the first occurrence of `part` from `start` on, or -1. */
  indexOfBytes(part: Bytes, start: i32 = 0): i32 {
    if (part.length == 0) return start <= this.length ? max(start, 0) : -1;
    const first = load<u8>(part.ptr);
    for (let at = this.indexOf(first, start); at >= 0; at = this.indexOf(first, at + 1)) {
      if (at + part.length > this.length) return -1;
      if (equalBytes(this.ptr + <usize>at, part.ptr, <usize>part.length)) return at;
    }
    return -1;
  }

  /** Whether both hold the same bytes. */
  equals(other: Bytes): bool {
    return this.length == other.length && equalBytes(this.ptr, other.ptr, <usize>this.length);
  }

  /** Whether these are the UTF-8 bytes of `text`. Allocates only for text outside ASCII. */
  equalsText(text: string): bool {
    const length = text.length;
    if (this.length < length) return false;
    const units = changetype<usize>(text);
    for (let i = 0; i < length; i++) {
      const unit = load<u16>(units + (<usize>i << 1));
      if (unit >= 0x80) return this.equals(Bytes.of(text));
      if (<u16>load<u8>(this.ptr + <usize>i) != unit) return false;
    }
    return this.length == length;
  }

  /** Whether these bytes begin with `other`. */
  startsWith(other: Bytes): bool {
    return this.length >= other.length && equalBytes(this.ptr, other.ptr, <usize>other.length);
  }

  /** Orders by byte, which for UTF-8 is the order of code points: negative, 0 or positive. */
  compareTo(other: Bytes): i32 {
    const order = memory.compare(this.ptr, other.ptr, <usize>min(this.length, other.length));
    return order != 0 ? order : this.length - other.length;
  }

  /** The view without ASCII white space at both ends. */
  trim(): Bytes {
    let from = this.ptr;
    let to = this.ptr + <usize>this.length;
    while (from < to && isSpace(load<u8>(from))) from++;
    while (to > from && isSpace(load<u8>(to - 1))) to--;
    return Bytes.at(from, <i32>(to - from));
  }

  /** Copies these bytes to the start of `target`, which must be large enough. */
  copyTo(target: Bytes): void {
    assert(target.length >= this.length, "Bytes.copyTo: the target is too small");
    memory.copy(target.ptr, this.ptr, <usize>this.length);
  }

  /** Copies these bytes to the start of `target` with the ASCII letters in upper case. `target` may be these bytes. */
  // @ts-ignore: decorator
  @inline
  upperTo(target: Bytes): void {
    assert(target.length >= this.length, "Bytes.upperTo: the target is too small");
    flipCase(target.ptr, this.ptr, <usize>this.length, 0x61);
  }

  /** Copies these bytes to the start of `target` with the ASCII letters in lower case. `target` may be these bytes. */
  // @ts-ignore: decorator
  @inline
  lowerTo(target: Bytes): void {
    assert(target.length >= this.length, "Bytes.lowerTo: the target is too small");
    flipCase(target.ptr, this.ptr, <usize>this.length, 0x41);
  }

  /** The number that these bytes spell in JSON's notation, or NaN when they spell none. */
  toNumber(): f64 {
    return parseNumber(this.ptr, this.ptr + <usize>this.length);
  }

  /** Whether these bytes are well-formed UTF-8. */
  isUtf8(): bool {
    return isUtf8(this.ptr, this.ptr + <usize>this.length);
  }

  /** The bytes as lower case hexadecimal digits. */
  toHex(): Bytes {
    const digits = take(<usize>this.length << 1);
    for (let i: usize = 0; i < <usize>this.length; i++) {
      const byte = load<u8>(this.ptr + i);
      store<u8>(digits + (i << 1), hexDigit(byte >> 4));
      store<u8>(digits + (i << 1) + 1, hexDigit(byte & 15));
    }
    return Bytes.at(digits, this.length << 1);
  }

  /** A copy as text. What is not UTF-8 comes out as replacement characters (U+FFFD), as many as a browser gives. */
  toString(): string {
    const end = this.ptr + <usize>this.length;
    // The language's decoder believes what it is given.
    return isUtf8(this.ptr, end) ? String.UTF8.decodeUnsafe(this.ptr, <usize>this.length) : decodeBroken(this.ptr, end);
  }

  /** A copy as an array. */
  toUint8Array(): Uint8Array {
    const array = new Uint8Array(this.length);
    memory.copy(array.dataStart, this.ptr, <usize>this.length);
    return array;
  }
}
