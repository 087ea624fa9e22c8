import { fromBinary } from "@bufbuild/protobuf";
import { RecordFailureSchema } from "@leat/proto";
import type { OutputRecord, RecordHeader } from "./record.ts";

/*
 * Reads leat.v1.TransformResult without making a message object for every record: about a third of
 * the cost of fromBinary. reader.test.ts pins it against the generated schema.
 */

/**
 * Why one record failed.
 *
 * @example
 * import { type FailureInfo, Leat, text } from "@leat/sdk";
 *
 * await using leat = new Leat(process.env.LEAT_ADDRESS);
 * const { failures } = await leat.transform("redact", ["not JSON"], { codec: text() });
 * const again = failures.filter((failure: FailureInfo) => failure.retryable);
 * console.log(failures[0]?.code, again.length);
 */
export interface FailureInfo {
  /** The record's position in its batch, from 0. */
  readonly index: number;
  /** A stable code in lower snake case: the host's, the module's, or `decode_failed` from this client. */
  readonly code: string;
  /** What happened, for people. */
  readonly message: string;
  /** The stage at which the record failed; empty when that was not in a stage. */
  readonly stage: string;
  /** How often the stage was tried with the record. */
  readonly attempts: number;
  /** Whether trying again later may succeed. */
  readonly retryable: boolean;
  /** The dead letter that keeps the record; empty when there is none. */
  readonly deadLetterId: string;
  /** What the codec threw, for `decode_failed`. */
  readonly cause?: unknown;
}

/** A decoded result, before codecs. */
export interface ParsedResult {
  readonly records: readonly OutputRecord[];
  /** How many records each input gave; undefined means one each. */
  readonly fanout: readonly number[] | undefined;
  readonly failures: readonly FailureInfo[];
}

const noHeaders: readonly RecordHeader[] = Object.freeze([]);
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Decodes a result. The records' bytes are views into `bytes`.
 *
 * @throws RangeError for bytes that are no such message
 */
export function parseResult(bytes: Uint8Array): ParsedResult {
  return new ResultReader(bytes).result();
}

/** The parser's state is one position; every method starts there and leaves it behind what it read. */
class ResultReader {
  readonly #bytes: Uint8Array;
  #pos = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  result(): ParsedResult {
    const records: OutputRecord[] = [];
    const fanout: number[] = [];
    const failures: FailureInfo[] = [];
    while (this.#pos < this.#bytes.length) {
      const tag = this.#varint();
      if (tag === 0x0a) this.#batch(records);
      else if (tag === 0x12) this.#packed(fanout);
      else if (tag === 0x10) fanout.push(this.#varint());
      else if (tag === 0x1a) failures.push(failureOf(this.#chunk()));
      else this.#skip(tag);
    }
    return { records, fanout: fanout.length > 0 ? fanout : undefined, failures };
  }

  #batch(records: OutputRecord[]): void {
    const end = this.#end();
    while (this.#pos < end) {
      const tag = this.#varint();
      if (tag === 0x0a) records.push(this.#record());
      else this.#skip(tag);
    }
  }

  #record(): OutputRecord {
    const end = this.#end();
    let key: Uint8Array | undefined;
    let value: Uint8Array | undefined;
    let headers: RecordHeader[] | undefined;
    let timestampMs = 0;
    while (this.#pos < end) {
      const tag = this.#varint();
      if (tag === 0x0a) key = this.#chunk();
      else if (tag === 0x12) value = this.#chunk();
      else if (tag === 0x1a) {
        headers ??= [];
        headers.push(this.#header());
      } else if (tag === 0x20) timestampMs = this.#int64();
      else this.#skip(tag);
    }
    return { key, value, headers: headers ?? noHeaders, timestampMs };
  }

  #header(): RecordHeader {
    const end = this.#end();
    let key = "";
    let value = new Uint8Array(0);
    while (this.#pos < end) {
      const tag = this.#varint();
      if (tag === 0x0a) key = utf8.decode(this.#chunk());
      else if (tag === 0x12) value = this.#chunk();
      else this.#skip(tag);
    }
    return { key, value };
  }

  #packed(numbers: number[]): void {
    const end = this.#end();
    while (this.#pos < end) numbers.push(this.#varint());
  }

  /** Reads a length, and returns where what it measures ends. */
  #end(): number {
    const length = this.#varint();
    const end = this.#pos + length;
    if (end > this.#bytes.length) throw new RangeError(`the result ends within a field at byte ${this.#pos}`);
    return end;
  }

  #chunk(): Uint8Array<ArrayBuffer> {
    const end = this.#end();
    const { buffer, byteOffset } = this.#bytes;
    const chunk = new Uint8Array(buffer as ArrayBuffer, byteOffset + this.#pos, end - this.#pos);
    this.#pos = end;
    return chunk;
  }

  #byte(): number {
    const byte = this.#bytes[this.#pos++];
    if (byte === undefined) throw new RangeError(`the result ends within a number at byte ${this.#pos - 1}`);
    return byte;
  }

  #varint(): number {
    let byte = this.#byte();
    if (byte < 0x80) return byte;
    let value = byte & 0x7f;
    for (let shift = 7; shift < 35; shift += 7) {
      byte = this.#byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new RangeError(`a number is too long at byte ${this.#pos}`);
  }

  #int64(): number {
    let low = 0;
    let scale = 1;
    for (let count = 0; count < 7; count++) {
      const byte = this.#byte();
      low += (byte & 0x7f) * scale;
      if (byte < 0x80) return low;
      scale *= 0x80;
    }
    let value = BigInt(low);
    for (let shift = 49n; shift < 70n; shift += 7n) {
      const byte = this.#byte();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return Number(BigInt.asIntN(64, value));
    }
    throw new RangeError(`a number is too long at byte ${this.#pos}`);
  }

  /** Passes over a field that this version does not know. */
  #skip(tag: number): void {
    switch (tag & 7) {
      case 0:
        while (this.#byte() >= 0x80);
        return;
      case 1:
        this.#pos += 8;
        break;
      case 2:
        this.#pos = this.#end();
        break;
      case 5:
        this.#pos += 4;
        break;
      default:
        throw new RangeError(`field ${tag >>> 3} has wire type ${tag & 7} at byte ${this.#pos}`);
    }
    if (this.#pos > this.#bytes.length) throw new RangeError("the result ends within a field");
  }
}

function failureOf(bytes: Uint8Array): FailureInfo {
  const { index, code, message, stage, attempts, retryable, deadLetterId } = fromBinary(
    RecordFailureSchema,
    bytes,
  );
  return { index, code, message, stage, attempts, retryable, deadLetterId };
}
