/** Thrown by {@link ByteCursor} for bytes that are not what their length says. */
export class CursorError extends Error {
  override readonly name = "CursorError";
  /** Where it is, in bytes from the start. */
  readonly offset: number;

  constructor(problem: string, offset: number) {
    super(problem);
    this.offset = offset;
  }
}

/** Reads lengths and bytes front to back, and checks each read against the end. */
export class ByteCursor {
  readonly #bytes: Uint8Array;
  /** Where the next read begins. */
  offset: number;
  readonly #end: number;

  constructor(bytes: Uint8Array, offset = 0, end: number = bytes.length) {
    this.#bytes = bytes;
    this.offset = offset;
    this.#end = end;
  }

  /** Whether all was read. */
  get atEnd(): boolean {
    return this.offset >= this.#end;
  }

  /** Reads one byte. @throws CursorError */
  byte(what: string): number {
    const value = this.offset < this.#end ? this.#bytes[this.offset] : undefined;
    if (value === undefined) throw new CursorError(`${what} is missing`, this.offset);
    this.offset++;
    return value;
  }

  /** Reads an unsigned LEB128 of at most 32 bits. @throws CursorError */
  u32(what: string): number {
    const start = this.offset;
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.byte(what);
      if (shift === 28 && byte > 0x0f) break;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new CursorError(`${what} does not fit 32 bits`, start);
  }

  /** Reads bytes, as a view. @throws CursorError */
  take(length: number, what: string): Uint8Array {
    const left = this.#end - this.offset;
    if (length > left)
      throw new CursorError(`${what} has ${length} bytes, but only ${left} are left`, this.offset);
    this.offset += length;
    return this.#bytes.subarray(this.offset - length, this.offset);
  }
}

/** A number as unsigned LEB128. */
export function leb128(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 0x7f) {
    bytes.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  return [...bytes, rest];
}
