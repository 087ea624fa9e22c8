import { EncodedBatch } from "./encoded-batch.ts";
import type { HeaderInput, RecordInput } from "./record.ts";

/*
 * Writes leat.v1.RecordBatch straight into one buffer, because protobuf-es needs a message object for
 * every record and tells the size only afterwards. writer.test.ts pins it against the generated schema.
 */

const initialBytes = 16 * 1024;
/** A buffer that one large batch made grow is not kept for the small ones that follow. */
const keptBytes = 1024 * 1024;

/** Gathers records into an encoded batch. Reused from batch to batch. */
export class BatchWriter {
  #buffer = Buffer.allocUnsafe(initialBytes);
  #pos = 0;
  #count = 0;
  #lastStart = 0;

  /** How many records there are. */
  get count(): number {
    return this.#count;
  }

  /** The size of the batch as it stands, in bytes. */
  get sizeBytes(): number {
    return this.#pos;
  }

  /** Adds a record at the end. */
  append(record: RecordInput): void {
    const size = recordSize(record);
    this.#reserve(size + 6);
    this.#lastStart = this.#pos;
    this.#count++;
    this.#buffer[this.#pos++] = 0x0a;
    this.#varint(size);
    if (record.key !== undefined) this.#field(0x0a, record.key);
    if (record.value !== undefined) this.#field(0x12, record.value);
    if (record.headers) for (const header of record.headers) this.#header(header);
    const timestamp = timestampOf(record);
    if (timestamp !== 0) {
      this.#buffer[this.#pos++] = 0x20;
      this.#int64(timestamp);
    }
  }

  /** Takes the batch; the writer is empty afterwards. */
  take(): EncodedBatch {
    return this.#cut(this.#pos, this.#count);
  }

  /** Takes the batch without its last record, which stays. */
  takeAllButLast(): EncodedBatch {
    return this.#cut(this.#lastStart, this.#count - 1);
  }

  #cut(end: number, count: number): EncodedBatch {
    const batch = new EncodedBatch(new Uint8Array(this.#buffer.subarray(0, end)), count);
    this.#buffer.copyWithin(0, end, this.#pos);
    this.#pos -= end;
    this.#count -= count;
    this.#lastStart = 0;
    if (this.#pos === 0 && this.#buffer.length > keptBytes) this.#buffer = Buffer.allocUnsafe(initialBytes);
    return batch;
  }

  #reserve(bytes: number): void {
    const needed = this.#pos + bytes;
    if (needed <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2));
    this.#buffer.copy(larger, 0, 0, this.#pos);
    this.#buffer = larger;
  }

  #varint(value: number): void {
    let rest = value;
    while (rest > 0x7f) {
      this.#buffer[this.#pos++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.#buffer[this.#pos++] = rest;
  }

  #field(tag: number, content: Uint8Array | string): void {
    this.#buffer[this.#pos++] = tag;
    this.#varint(byteLength(content));
    if (typeof content === "string") {
      this.#pos += this.#buffer.write(content, this.#pos, "utf8");
    } else {
      this.#buffer.set(content, this.#pos);
      this.#pos += content.length;
    }
  }

  #header(header: HeaderInput): void {
    this.#buffer[this.#pos++] = 0x1a;
    this.#varint(headerSize(header));
    if (header.key.length > 0) this.#field(0x0a, header.key);
    if (header.value.length > 0) this.#field(0x12, header.value);
  }

  #int64(value: number | bigint): void {
    if (typeof value === "number" && value >= 0) {
      let rest = value;
      while (rest > 0x7f) {
        this.#buffer[this.#pos++] = (rest % 0x80) | 0x80;
        rest = Math.floor(rest / 0x80);
      }
      this.#buffer[this.#pos++] = rest;
      return;
    }
    let rest = BigInt.asUintN(64, BigInt(value));
    while (rest > 0x7fn) {
      this.#buffer[this.#pos++] = Number(rest & 0x7fn) | 0x80;
      rest >>= 7n;
    }
    this.#buffer[this.#pos++] = Number(rest);
  }
}

function recordSize(record: RecordInput): number {
  let size = 0;
  if (record.key !== undefined) size += fieldSize(record.key);
  if (record.value !== undefined) size += fieldSize(record.value);
  if (record.headers) {
    for (const header of record.headers) {
      const inner = headerSize(header);
      size += 1 + varintSize(inner) + inner;
    }
  }
  const timestamp = timestampOf(record);
  return timestamp === 0 ? size : size + 1 + int64Size(timestamp);
}

/** The timestamp as a safe integer where it is one, which is cheaper to write, else as a bigint. */
function timestampOf({ timestampMs }: RecordInput): number | bigint {
  if (timestampMs === undefined) return 0;
  const value = timestampMs instanceof Date ? timestampMs.getTime() : Number(timestampMs);
  if (Number.isSafeInteger(value)) return value;
  if (typeof timestampMs === "bigint" && BigInt.asIntN(64, timestampMs) === timestampMs) return timestampMs;
  throw new RangeError(`timestampMs is ${String(timestampMs)}; it must be a whole number of milliseconds`);
}

function headerSize(header: HeaderInput): number {
  const key = header.key.length > 0 ? fieldSize(header.key) : 0;
  return header.value.length > 0 ? key + fieldSize(header.value) : key;
}

function fieldSize(content: Uint8Array | string): number {
  const length = byteLength(content);
  return 1 + varintSize(length) + length;
}

function byteLength(content: Uint8Array | string): number {
  return typeof content === "string" ? Buffer.byteLength(content, "utf8") : content.length;
}

function varintSize(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x200000) return 3;
  return value < 0x10000000 ? 4 : 5;
}

function int64Size(value: number | bigint): number {
  if (value < 0) return 10;
  let size = 1;
  if (typeof value === "bigint") {
    for (let rest = value; rest >= 0x80n; rest >>= 7n) size++;
  } else {
    for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size++;
  }
  return size;
}
