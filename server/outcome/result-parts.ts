/**
 * A result taken apart by input, so that some inputs can be run again and put back. Only results
 * with failures that a policy deals with come here.
 *
 * @module
 */

import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { type RecordFailure, RecordFailureSchema } from "@leat/proto";
import { outputHeadroomBytes } from "../bridge/layout.ts";
import type { BatchResult } from "../pool/batch-job.ts";
import { packedFanoutSize, resultSize, writeBatchHead, writeFanout } from "../record/result.ts";
import { Cursor, varintSize, writeVarint } from "../record/wire.ts";

const batchTag = (1 << 3) | 2;
const fanoutTag = (2 << 3) | 2;
const failuresTag = (3 << 3) | 2;

/** What one input gave. */
export interface InputPart {
  /** Its outputs, encoded, each with its tag and length. */
  outputs: readonly Uint8Array[];
  failures: readonly RecordFailure[];
}

/** Reads a result that this server has written: it is known to be well-formed. The bytes are copied. */
export function readParts(result: BatchResult): InputPart[] {
  const bytes = Buffer.from(result.bytes.subarray(result.start, result.start + result.length));
  const cursor = new Cursor();
  cursor.reset(bytes, 0, bytes.length);
  let records: Uint8Array[] = [];
  let fanout: number[] | undefined;
  const failures: RecordFailure[] = [];
  while (!cursor.done) {
    const tag = cursor.tag();
    const end = cursor.length() + cursor.position;
    if (tag === batchTag) records = readRecords(cursor, end);
    else if (tag === fanoutTag) fanout = readFanout(cursor, end);
    else if (tag === failuresTag)
      failures.push(fromBinary(RecordFailureSchema, bytes.subarray(cursor.position, end)));
    cursor.position = end;
  }
  return assign(records, fanout ?? new Array<number>(result.recordsIn).fill(1), failures);
}

function readRecords(cursor: Cursor, end: number): Uint8Array[] {
  const records: Uint8Array[] = [];
  while (cursor.position < end) {
    const start = cursor.position++;
    cursor.advance(cursor.length());
    records.push(cursor.bytes.subarray(start, cursor.position));
  }
  return records;
}

function readFanout(cursor: Cursor, end: number): number[] {
  const fanout: number[] = [];
  while (cursor.position < end) fanout.push(cursor.uint32());
  return fanout;
}

function assign(records: Uint8Array[], fanout: number[], failures: RecordFailure[]): InputPart[] {
  let taken = 0;
  let failed = 0;
  return fanout.map((count, index) => {
    const firstFailure = failed;
    while (failures[failed]?.index === index) failed++;
    taken += count;
    return { outputs: records.slice(taken - count, taken), failures: failures.slice(firstFailure, failed) };
  });
}

/** How many bytes an input's outputs and failures take in a result. */
export function partBytes({ outputs, failures }: InputPart): number {
  let size = sizeOf(outputs);
  for (const failure of failures) size += encodeField(toBinary(RecordFailureSchema, failure)).length;
  return size;
}

/** A result in memory of its own. */
class OwnResult implements BatchResult {
  readonly scarce = false;
  readonly bytes: Buffer;
  readonly start: number;
  readonly length: number;
  readonly recordsIn: number;
  readonly recordsOut: number;
  readonly recordsFailed: number;

  constructor(
    bytes: Buffer,
    start: number,
    length: number,
    counts: { in: number; out: number; failed: number },
  ) {
    this.bytes = bytes;
    this.start = start;
    this.length = length;
    this.recordsIn = counts.in;
    this.recordsOut = counts.out;
    this.recordsFailed = counts.failed;
  }

  release(): void {
    // The garbage collector does.
  }
}

/** Puts the parts together again, in the order of the inputs. */
export function writeParts(parts: readonly InputPart[]): BatchResult {
  const fanout = Uint32Array.from(parts, ({ outputs }) => outputs.length);
  const records = parts.flatMap(({ outputs }) => outputs);
  const failures = parts.flatMap((part, index) =>
    part.failures.map((failure) => encodeField(toBinary(RecordFailureSchema, { ...failure, index }))),
  );
  const batchBytes = sizeOf(records);
  const plain = fanout.every((count) => count === 1);
  const fanoutBytes = plain ? 0 : packedFanoutSize(fanout, 0, fanout.length);
  const length = resultSize(batchBytes, fanoutBytes, sizeOf(failures));
  const bytes = Buffer.alloc(outputHeadroomBytes + length);
  let position = writeBatchHead(bytes, outputHeadroomBytes, batchBytes);
  position = writeAll(bytes, position, records);
  if (fanoutBytes > 0) position = writeFanout(bytes, position, fanout, 0, fanout.length, fanoutBytes);
  writeAll(bytes, position, failures);
  const counts = { in: parts.length, out: records.length, failed: failures.length };
  return new OwnResult(bytes, outputHeadroomBytes, length, counts);
}

function sizeOf(pieces: readonly Uint8Array[]): number {
  let size = 0;
  for (const piece of pieces) size += piece.length;
  return size;
}

function writeAll(target: Buffer, position: number, pieces: readonly Uint8Array[]): number {
  for (const piece of pieces) {
    target.set(piece, position);
    position += piece.length;
  }
  return position;
}

function encodeField(message: Uint8Array): Uint8Array {
  const field = new Uint8Array(1 + varintSize(message.length) + message.length);
  field[0] = failuresTag;
  field.set(message, writeVarint(field, 1, message.length));
  return field;
}
