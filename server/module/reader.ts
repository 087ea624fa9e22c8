import { leatError } from "../errors.ts";

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Reads a WebAssembly binary front to back. Every read is checked against {@link ByteReader.end};
 * one that does not fit throws `MODULE_MALFORMED` with the byte where it began.
 */
export class ByteReader {
  /** The whole module. */
  readonly bytes: Uint8Array;
  /** Where the next read begins, in bytes from the start of the module. */
  offset = 0;
  /** Where reading must stop: the end of the module, or of the part that {@link enter} opened. */
  end: number;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.end = bytes.length;
  }

  /** Bytes left before {@link end}. */
  get remaining(): number {
    return this.end - this.offset;
  }

  /** Reads one byte; `what` names it in the error. */
  byte(what: string): number {
    const value = this.offset < this.end ? this.bytes[this.offset] : undefined;
    if (value === undefined) throw this.malformed(`${what} is missing`);
    this.offset += 1;
    return value;
  }

  /** Reads an unsigned LEB128 of at most 32 bits. */
  u32(what: string): number {
    const start = this.offset;
    const first = this.byte(what);
    if (first < 0x80) return first;
    let value = 0;
    this.offset = start;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.byte(what);
      if (shift === 28 && byte > 0x0f) throw this.malformed(`${what} does not fit 32 bits`, start);
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw this.malformed(`${what} does not fit 32 bits`, start);
  }

  /** Steps over a signed LEB128 of at most `maxBytes` bytes; V8 judges its value. */
  skipSigned(maxBytes: number, what: string): void {
    const start = this.offset;
    for (let count = 0; count < maxBytes; count += 1) {
      if (this.byte(what) < 0x80) return;
    }
    throw this.malformed(`${what} is too long`, start);
  }

  /** Steps over `length` bytes. */
  skip(length: number, what: string): void {
    if (length > this.remaining) {
      throw this.malformed(`${what} has ${length} bytes, but only ${this.remaining} are left`);
    }
    this.offset += length;
  }

  /** Reads the length of a vector. Each entry takes at least one byte, so what is left bounds it. */
  vectorLength(what: string): number {
    const start = this.offset;
    const count = this.u32(`the number of ${what}`);
    if (count > this.remaining) {
      throw this.malformed(
        `${count} ${what} are announced, but only ${this.remaining} bytes are left`,
        start,
      );
    }
    return count;
  }

  /** Reads a name: its length, then that many bytes of UTF-8. The caller bounds the length in `check`. */
  name(what: string, check: (lengthBytes: number) => void): string {
    const length = this.u32(`the length of ${what}`);
    const start = this.offset;
    this.skip(length, what);
    check(length);
    try {
      return utf8.decode(this.bytes.subarray(start, this.offset));
    } catch (cause) {
      throw this.malformed(`${what} is not UTF-8`, start, cause);
    }
  }

  /** Narrows reading to the next `length` bytes. Returns the former end, for {@link leave}. */
  enter(length: number, what: string): number {
    const outerEnd = this.end;
    const start = this.offset;
    this.skip(length, what);
    this.offset = start;
    this.end = start + length;
    return outerEnd;
  }

  /** Ends what {@link enter} began. All of it must have been read. */
  leave(outerEnd: number, what: string): void {
    if (this.remaining > 0) throw this.malformed(`${what} ends with ${this.remaining} bytes too many`);
    this.end = outerEnd;
  }

  /** An error about what stands at `offset`, by default at the next read. */
  malformed(problem: string, offset: number = this.offset, cause?: unknown): Error {
    return leatError("MODULE_MALFORMED", { problem, offset }, cause === undefined ? {} : { cause });
  }
}
