/**
 * Cuts a stream of bytes into the pieces that are one record each.
 *
 * @module
 */

/** One piece of the input. */
export interface Piece {
  /** Which piece of its file it is, from 1: its line, or its place among the records. */
  readonly number: number;
  /** Its bytes; undefined for a piece that was longer than `maxPieceBytes` and was not kept. */
  readonly bytes: Uint8Array | undefined;
}

/** Cuts bytes as they come. */
export interface Cutter {
  /** Takes bytes. @returns the pieces that are whole now; they may be views into `chunk` */
  push(chunk: Uint8Array): Piece[];
  /** The input is over. @returns the last piece, if there is one */
  end(): Piece[];
}

/** An input that cannot be cut: what follows the fault cannot be told apart. */
export class FramingError extends Error {
  override readonly name = "FramingError";
}

const lineFeed = 0x0a;

/** Cuts after each line feed, which belongs to no piece. A last line without one is a piece as well. */
export class LineCutter implements Cutter {
  readonly #maxPieceBytes: number;
  #number = 0;
  #partial: Uint8Array[] = [];
  #partialBytes = 0;

  /** @param maxPieceBytes - longer lines are not kept, so that a file without line feeds fills no memory */
  constructor(maxPieceBytes: number) {
    this.#maxPieceBytes = maxPieceBytes;
  }

  push(chunk: Uint8Array): Piece[] {
    const pieces: Piece[] = [];
    let start = 0;
    for (let end = chunk.indexOf(lineFeed); end >= 0; end = chunk.indexOf(lineFeed, start)) {
      this.#keep(chunk.subarray(start, end));
      pieces.push(this.#take());
      start = end + 1;
    }
    if (start < chunk.length) this.#keep(chunk.subarray(start));
    return pieces;
  }

  end(): Piece[] {
    return this.#partialBytes > 0 ? [this.#take()] : [];
  }

  #keep(part: Uint8Array): void {
    this.#partialBytes += part.length;
    if (this.#partialBytes <= this.#maxPieceBytes) this.#partial.push(part);
    else this.#partial = [];
  }

  #take(): Piece {
    const [only, ...more] = this.#partial;
    const whole = more.length === 0 ? (only ?? new Uint8Array(0)) : Buffer.concat(this.#partial);
    const bytes = this.#partialBytes <= this.#maxPieceBytes ? whole : undefined;
    this.#partial = [];
    this.#partialBytes = 0;
    this.#number++;
    return { number: this.#number, bytes };
  }
}

/** Cuts messages that each follow their length as a varint, as protobuf's `writeDelimitedTo` writes them. */
export class DelimitedCutter implements Cutter {
  readonly #maxPieceBytes: number;
  #number = 0;
  /** What came and belongs to no whole piece yet. */
  #rest: Uint8Array = new Uint8Array(0);
  /** Parts that follow the rest, joined when there is enough. */
  #parts: Uint8Array[] = [];
  #partsBytes = 0;
  /** How many bytes the rest must have before it is worth looking at. */
  #neededBytes = 1;

  /** @param maxPieceBytes - longer messages are a fault: their length may be garbage */
  constructor(maxPieceBytes: number) {
    this.#maxPieceBytes = maxPieceBytes;
  }

  /** @throws FramingError */
  push(chunk: Uint8Array): Piece[] {
    this.#parts.push(chunk);
    this.#partsBytes += chunk.length;
    if (this.#rest.length + this.#partsBytes < this.#neededBytes) return [];
    const bytes =
      this.#rest.length === 0 && this.#parts.length === 1
        ? chunk
        : Buffer.concat([this.#rest, ...this.#parts]);
    this.#parts = [];
    this.#partsBytes = 0;
    const pieces: Piece[] = [];
    let start = 0;
    for (;;) {
      const header = this.#readLength(bytes, start);
      const end = header === undefined ? bytes.length + 1 : header.next + header.length;
      if (header === undefined || end > bytes.length) {
        this.#rest = bytes.subarray(start);
        this.#neededBytes = end - start;
        return pieces;
      }
      this.#number++;
      pieces.push({ number: this.#number, bytes: bytes.subarray(header.next, end) });
      start = end;
    }
  }

  /** @throws FramingError when the input ends within a message */
  end(): Piece[] {
    const left = this.#rest.length + this.#partsBytes;
    if (left === 0) return [];
    throw new FramingError(
      `the input ends within record ${this.#number + 1}: ${left} of ${this.#neededBytes} bytes`,
    );
  }

  /** @returns undefined when the varint is not complete */
  #readLength(bytes: Uint8Array, start: number): { length: number; next: number } | undefined {
    let length = 0;
    for (let at = 0; at < 5; at++) {
      const byte = bytes[start + at];
      if (byte === undefined) return undefined;
      length += (byte & 0x7f) * 2 ** (7 * at);
      if (byte >= 0x80) continue;
      if (length <= this.#maxPieceBytes) return { length, next: start + at + 1 };
      break;
    }
    throw new FramingError(
      `record ${this.#number + 1} has no length of at most ${this.#maxPieceBytes} before it; is the input binary, each Record after its length as a varint?`,
    );
  }
}
