/**
 * What every way into Leat must make of the same batches.
 *
 * @module
 */

import { create, toBinary } from "@bufbuild/protobuf";
import { type RecordBatch, RecordBatchSchema } from "@leat/proto";
import { batchOf } from "../kit/records.ts";

/** One batch, one chain, and what must become of it. */
export interface Case {
  readonly name: string;
  /** Modules of `test/modules`, one a stage. */
  readonly stages: readonly string[];
  readonly batch: RecordBatch;
  /** The values that must come out; null for a record without one. */
  readonly values: readonly (string | null)[];
  readonly fanout: readonly number[];
  /** As `index code@stage`. */
  readonly failures: readonly string[];
}

const large = "v".repeat(150_000);

/** The cases. */
export const cases: readonly Case[] = [
  { name: "no records", stages: ["program"], batch: batchOf(), values: [], fanout: [], failures: [] },
  { name: "one record", stages: ["program"], batch: batchOf("ma"), values: ["a"], fanout: [1], failures: [] },
  {
    name: "records that stay, go, split and fail",
    stages: ["program"],
    batch: batchOf("ma", "0", "3xyz", "x", "y"),
    values: ["a", "xyz", "yz", "z"],
    fanout: [1, 0, 3, 0, 0],
    failures: ["3 refused@s1", "4 later@s1"],
  },
  {
    name: "splits and failures over three stages",
    stages: ["program", "program", "program"],
    batch: batchOf("2mmab", "mx", "t", "mm0", "mmmc"),
    values: ["ab", "b", "c"],
    fanout: [2, 0, 0, 0, 1],
    failures: ["1 refused@s2", "2 trap@s1"],
  },
  {
    name: "tombstones, keys, headers and times",
    stages: ["init", "init"],
    batch: create(RecordBatchSchema, {
      records: [
        { key: Buffer.from("k") },
        { value: new Uint8Array(0), headers: [{ key: "h", value: Buffer.from([0, 255]) }] },
        { value: Buffer.from("v"), timestampMs: -1n },
      ],
    }),
    values: [null, "", "v"],
    fanout: [1, 1, 1],
    failures: [],
  },
  {
    name: "faults of every kind among good records",
    stages: ["marked"],
    batch: batchOf("a", "%", "b", "^", "c", "$", "d", "=\x4a\x00", "e"),
    values: ["a", "b", "c", "d", "e"],
    fanout: [1, 0, 1, 0, 1, 0, 1, 0, 1],
    failures: ["1 trap@s1", "3 stack_overflow@s1", "5 out_of_memory@s1", "7 malformed_output@s1"],
  },
  {
    name: "a result larger than a slot",
    stages: ["program"],
    batch: batchOf(`3${large}`),
    values: [large, large.slice(1), large.slice(2)],
    fanout: [3],
    failures: [],
  },
  {
    name: "records of which nothing comes out",
    stages: ["program", "program"],
    batch: batchOf("0", "m0", "mx"),
    values: [],
    fanout: [0, 0, 0],
    failures: ["2 refused@s2"],
  },
];

/** The chains that the cases need, by name. */
export const chains: ReadonlyMap<string, readonly string[]> = new Map(
  cases.map(({ stages }) => [chainName(stages), stages]),
);

/** The name of a chain. */
export function chainName(stages: readonly string[]): string {
  return stages.join(".");
}

/** A case's batch, encoded. */
export function encodedBatch({ batch }: Case): Uint8Array {
  return toBinary(RecordBatchSchema, batch);
}
