/**
 * Whether two versions made the same of a batch.
 *
 * @module
 */

import { fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type Record as LeatRecord,
  type RecordFailure,
  RecordSchema,
  type TransformResult,
  TransformResultSchema,
} from "@leat/proto";

/** The first thing in which two results differ. */
export interface ResultDifference {
  readonly what: "failures" | "fanout" | "records";
  /** The place of the input (`failures`, `fanout`) or of the output (`records`), from 0. */
  readonly place: number;
  /** What the version that serves gave there, and the other: an output's value, a failure's code, or a count. */
  readonly base: Uint8Array;
  readonly candidate: Uint8Array;
}

/**
 * Compares two encoded results. Attempts, messages and ids of dead letters do not count.
 *
 * @returns undefined when they say the same
 */
export function resultDifference(base: Uint8Array, candidate: Uint8Array): ResultDifference | undefined {
  if (Buffer.compare(base, candidate) === 0) return undefined;
  const [one, other] = [
    fromBinary(TransformResultSchema, base),
    fromBinary(TransformResultSchema, candidate),
  ];
  return inFailures(one, other) ?? inFanout(one, other) ?? inRecords(one, other);
}

function inFailures(one: TransformResult, other: TransformResult): ResultDifference | undefined {
  const codes = (failures: readonly RecordFailure[]): Map<number, string> =>
    new Map(failures.map(({ index, code }) => [index, code]));
  const [left, right] = [codes(one.failures), codes(other.failures)];
  for (const place of [...left.keys(), ...right.keys()].sort((a, b) => a - b)) {
    const [base, candidate] = [left.get(place), right.get(place)];
    if (base !== candidate) return difference("failures", place, text(base), text(candidate));
  }
  return undefined;
}

function inFanout(one: TransformResult, other: TransformResult): ResultDifference | undefined {
  // Without a list, every input gave one output; a list of another length shows among the records.
  const length = Math.max(one.fanout.length, other.fanout.length);
  for (let place = 0; place < length; place++) {
    const [base, candidate] = [one.fanout[place] ?? 1, other.fanout[place] ?? 1];
    if (base !== candidate) return difference("fanout", place, text(`${base}`), text(`${candidate}`));
  }
  return undefined;
}

function inRecords(one: TransformResult, other: TransformResult): ResultDifference | undefined {
  const [left, right] = [one.batch?.records ?? [], other.batch?.records ?? []];
  for (let place = 0; place < Math.max(left.length, right.length); place++) {
    const [base, candidate] = [left[place], right[place]];
    if (Buffer.compare(encoded(base), encoded(candidate)) !== 0)
      return difference("records", place, base?.value, candidate?.value);
  }
  return undefined;
}

function encoded(record: LeatRecord | undefined): Uint8Array {
  return record === undefined ? new Uint8Array() : toBinary(RecordSchema, record);
}

function difference(
  what: ResultDifference["what"],
  place: number,
  base: Uint8Array | undefined,
  candidate: Uint8Array | undefined,
): ResultDifference {
  return { what, place, base: base ?? new Uint8Array(), candidate: candidate ?? new Uint8Array() };
}

function text(value: string | undefined): Uint8Array {
  return Buffer.from(value ?? "");
}
