/**
 * Reads records from files and from stdin, as many at a time as one read gives.
 *
 * @module
 */

import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import type { RecordInput } from "@leat/sdk";
import { type Format, FormatError } from "./format.ts";
import { FramingError, type Piece } from "./pieces.ts";

/** A record with where it comes from. */
export interface SourceRecord extends RecordInput {
  readonly origin: Origin;
}

/** Where a record comes from. */
export interface Origin {
  /** The file, as it was given; `-` for stdin. */
  readonly file: string;
  /** Its piece of the file, from 1. */
  readonly number: number;
  /** The piece; undefined for one that was too long to keep. */
  readonly bytes: Uint8Array | undefined;
}

/** How records are read. */
export interface SourceOptions {
  readonly format: Format;
  /** The most records of a batch. */
  readonly maxBatchRecords: number;
  /** The longest piece that is read. */
  readonly maxPieceBytes: number;
  /** Called with how many bytes were read. */
  readonly onBytes: (bytes: number) => void;
  /** Called for a piece that is no record. */
  readonly onRefused: (origin: Origin, code: string, message: string) => void;
}

/** What one read takes from a file: a batch of the size that the server moves fastest. */
const readBytes = 64 * 1024;

/** How many bytes all files have; undefined when one of them cannot tell, as a pipe cannot. @throws when one is not there */
export async function totalBytes(files: readonly string[]): Promise<number | undefined> {
  let total: number | undefined = 0;
  for (const file of files) {
    const stats = file === "-" ? undefined : await stat(file);
    total = total === undefined || !stats?.isFile() ? undefined : total + stats.size;
  }
  return total;
}

/** Reads files one after the other. Each array is one batch; no more is read than is asked for. */
export async function* readRecords(
  files: readonly string[],
  options: SourceOptions,
): AsyncGenerator<SourceRecord[], void, undefined> {
  for (const file of files) {
    const input = file === "-" ? process.stdin : createReadStream(file, { highWaterMark: readBytes });
    const cutter = options.format.cutter(options.maxPieceBytes);
    try {
      for await (const chunk of input as AsyncIterable<Uint8Array>) {
        options.onBytes(chunk.length);
        yield* batches(file, cutter.push(chunk), options);
      }
      yield* batches(file, cutter.end(), options);
    } catch (error) {
      if (error instanceof FramingError) error.message = `${file}: ${error.message}`;
      throw error;
    }
  }
}

function* batches(file: string, pieces: readonly Piece[], options: SourceOptions): Generator<SourceRecord[]> {
  let batch: SourceRecord[] = [];
  for (const piece of pieces) {
    const record = readPiece({ file, ...piece }, options);
    if (record === undefined) continue;
    batch.push(record);
    if (batch.length < options.maxBatchRecords) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

function readPiece(
  origin: Origin,
  { format, maxPieceBytes, onRefused }: SourceOptions,
): SourceRecord | undefined {
  if (origin.bytes === undefined) {
    onRefused(origin, "record_too_large", `longer than ${maxPieceBytes} bytes, the most that is read`);
    return undefined;
  }
  try {
    const record = format.read(origin.bytes);
    return record === undefined ? undefined : { ...record, origin };
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    onRefused(origin, error.code, error.message);
    return undefined;
  }
}
