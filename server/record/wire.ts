/**
 * The few pieces of the protobuf wire format that the data path reads and writes itself,
 * so that a batch is never decoded on its way. Source of the rules: https://protobuf.dev/programming-guides/encoding/
 *
 * @module
 */

/** Wire types. Groups (3 and 4) are refused everywhere: no message of ours has one. */
export const WireType = { varint: 0, fixed64: 1, lengthDelimited: 2, fixed32: 5 } as const;

/** Bytes that are not what they should be. The offset is relative to where reading began. */
export class WireError extends Error {
  override readonly name = "WireError";
}

/**
 * A reading position in encoded bytes. Reused from message to message, so that reading allocates nothing.
 * Every read is checked against `end`; breaches throw {@link WireError}.
 */
export class Cursor {
  bytes: Uint8Array = empty;
  position = 0;
  end = 0;

  /** Points the cursor at `[start, end)` of the bytes. */
  reset(bytes: Uint8Array, start: number, end: number): void {
    if (start < 0 || end > bytes.length || start > end) throw new WireError("range outside of the bytes");
    this.bytes = bytes;
    this.position = start;
    this.end = end;
  }

  /** Whether everything was read. */
  get done(): boolean {
    return this.position >= this.end;
  }

  /** Reads a varint that must fit 32 unsigned bits. */
  uint32(): number {
    const { bytes, end } = this;
    let position = this.position;
    if (position >= end) throw new WireError("truncated varint");
    let byte = bytes[position++] as number;
    if (byte < 0x80) {
      this.position = position;
      return byte;
    }
    let value = byte & 0x7f;
    for (let shift = 7; shift < 35; shift += 7) {
      if (position >= end) throw new WireError("truncated varint");
      byte = bytes[position++] as number;
      if (shift === 28 && byte > 0x0f) throw new WireError("varint does not fit 32 bits");
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        this.position = position;
        return value >>> 0;
      }
    }
    throw new WireError("varint does not fit 32 bits");
  }

  /** Reads a varint of up to 64 bits as a number; values over 2^53-1 are refused. */
  uint53(): number {
    let value = 0;
    let scale = 1;
    for (let index = 0; index < 10; index++) {
      if (this.position >= this.end) throw new WireError("truncated varint");
      const byte = this.bytes[this.position++] as number;
      value += (byte & 0x7f) * scale;
      if (value > Number.MAX_SAFE_INTEGER) throw new WireError("number over 2^53-1");
      if (byte < 0x80) return value;
      scale *= 128;
    }
    throw new WireError("varint of more than 10 bytes");
  }

  /** Passes over a varint of up to 64 bits. */
  skipVarint(): void {
    for (let index = 0; index < 10; index++) {
      if (this.position >= this.end) throw new WireError("truncated varint");
      if ((this.bytes[this.position++] as number) < 0x80) return;
    }
    throw new WireError("varint of more than 10 bytes");
  }

  /** Reads a length and checks that so many bytes follow. */
  length(): number {
    const length = this.uint32();
    if (length > this.end - this.position) throw new WireError("length beyond the end");
    return length;
  }

  /** Reads a tag. Field number 0 is refused. */
  tag(): number {
    const tag = this.uint32();
    if (tag < 8) throw new WireError("field number 0");
    return tag;
  }

  /** Passes over a field of the given tag's wire type. */
  skip(tag: number): void {
    switch (tag & 7) {
      case WireType.varint:
        this.skipVarint();
        break;
      case WireType.fixed64:
        this.advance(8);
        break;
      case WireType.lengthDelimited:
        this.advance(this.length());
        break;
      case WireType.fixed32:
        this.advance(4);
        break;
      default:
        throw new WireError(`wire type ${tag & 7}`);
    }
  }

  /** Passes over so many bytes. */
  advance(count: number): void {
    if (count > this.end - this.position) throw new WireError("truncated field");
    this.position += count;
  }
}

const empty = new Uint8Array(0);

/** How many bytes the varint of an unsigned number below 2^53 takes. */
export function varintSize(value: number): number {
  let size = 1;
  while (value >= 128) {
    value = Math.floor(value / 128);
    size++;
  }
  return size;
}

/** Writes the varint of an unsigned number below 2^53 and returns the position behind it. */
export function writeVarint(target: Uint8Array, position: number, value: number): number {
  while (value >= 128) {
    target[position++] = (value % 128) | 0x80;
    value = Math.floor(value / 128);
  }
  target[position++] = value;
  return position;
}

/**
 * Whether `[start, end)` is well-formed UTF-8: no overlong forms, no surrogates, nothing over U+10FFFF.
 * Source: Unicode 15, table 3-7.
 */
export function isUtf8(bytes: Uint8Array, start: number, end: number): boolean {
  let position = start;
  while (position < end) {
    const first = bytes[position++] as number;
    if (first < 0x80) continue;
    if (first < 0xc2 || first > 0xf4) return false;
    const trailing = first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
    if (position + trailing > end) return false;
    const second = bytes[position] as number;
    const low = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
    const high = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
    if (second < low || second > high) return false;
    for (let index = 1; index < trailing; index++) {
      if (((bytes[position + index] as number) & 0xc0) !== 0x80) return false;
    }
    position += trailing;
  }
  return true;
}
