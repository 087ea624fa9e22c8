/**
 * The formats in which records are read and written.
 *
 * @module
 */

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { RecordSchema } from "@leat/proto";
import type { OutputRecord, RecordInput } from "@leat/sdk";
import { type Cutter, DelimitedCutter, LineCutter } from "./pieces.ts";

/** The formats by name. */
export const formatNames = ["ndjson", "lines", "binary"] as const;

/** The name of a format. */
export type FormatName = (typeof formatNames)[number];

/** A record that a format cannot have. */
export class FormatError extends Error {
  override readonly name = "FormatError";
  /** The failure's code. */
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** One format. */
export interface Format {
  /** What a piece is called in messages. */
  readonly piece: "line" | "record";
  /** Makes the cutter of one input. */
  cutter(maxPieceBytes: number): Cutter;
  /**
   * Reads a piece.
   *
   * @returns undefined for a piece that is no record, such as an empty line of NDJSON
   * @throws FormatError
   */
  read(bytes: Uint8Array): RecordInput | undefined;
  /** Writes a record with what ends it. @throws FormatError when the format cannot hold it */
  write(record: OutputRecord, into: Uint8Array[]): void;
  /** A piece of this format as the report of a failure shows it. */
  show(bytes: Uint8Array): { input: string } | { inputBase64: string };
}

const lineEnd = new Uint8Array([0x0a]);
const none = new Uint8Array(0);
const utf8 = new TextDecoder("utf-8", { fatal: true });

function showText(bytes: Uint8Array): { input: string } | { inputBase64: string } {
  try {
    return { input: utf8.decode(bytes) };
  } catch {
    return { inputBase64: Buffer.from(bytes).toString("base64") };
  }
}

const lines: Format = {
  piece: "line",
  cutter: (maxPieceBytes) => new LineCutter(maxPieceBytes),
  read: (value) => ({ value }),
  write({ value = none }, into) {
    if (value.includes(0x0a)) {
      throw new FormatError("not_a_line", "the output has a line feed in it; use --output-format binary");
    }
    into.push(value, lineEnd);
  },
  show: showText,
};

const ndjson: Format = {
  piece: "line",
  cutter: lines.cutter,
  read(value) {
    const text = decode(value).trim();
    if (text === "") return undefined;
    checkJson(text);
    return { value };
  },
  write({ value }, into) {
    // A tombstone has no value; JSON's word for that is null.
    const text = value === undefined ? "null" : decode(value);
    checkJson(text);
    // In JSON a line end can only stand between tokens, where a space does as well.
    into.push(Buffer.from(text.replaceAll(/[\r\n]+/g, " ")), lineEnd);
  },
  show: showText,
};

const binary: Format = {
  piece: "record",
  cutter: (maxPieceBytes) => new DelimitedCutter(maxPieceBytes),
  read(bytes) {
    try {
      return fromBinary(RecordSchema, bytes);
    } catch (error) {
      throw new FormatError("not_a_record", `no leat.v1.Record: ${(error as Error).message}`);
    }
  },
  write({ key, value, headers, timestampMs }, into) {
    const record = create(RecordSchema, {
      ...(key !== undefined && { key }),
      ...(value !== undefined && { value }),
      headers: headers.map((header) => ({ key: header.key, value: header.value })),
      timestampMs: BigInt(timestampMs),
    });
    const bytes = toBinary(RecordSchema, record);
    into.push(varint(bytes.length), bytes);
  },
  show: (bytes) => ({ inputBase64: Buffer.from(bytes).toString("base64") }),
};

/** The formats. */
export const formats: Readonly<Record<FormatName, Format>> = { ndjson, lines, binary };

function decode(bytes: Uint8Array): string {
  try {
    // The decoder leaves a byte order mark out.
    return utf8.decode(bytes);
  } catch {
    throw new FormatError("not_json", "not UTF-8");
  }
}

function checkJson(text: string): void {
  try {
    JSON.parse(text);
  } catch (error) {
    throw new FormatError("not_json", (error as Error).message);
  }
}

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  bytes.push(rest);
  return Uint8Array.from(bytes);
}
