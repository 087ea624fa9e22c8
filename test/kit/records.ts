/**
 * Batches and results in the short forms in which tests speak of them.
 *
 * @module
 */

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type RecordBatch, RecordBatchSchema, type TransformResult } from "@leat/proto";

/** A batch of records with these values. */
export function batchOf(...values: readonly (string | Uint8Array)[]): RecordBatch {
  return create(RecordBatchSchema, {
    records: values.map((value) => ({ value: typeof value === "string" ? Buffer.from(value) : value })),
  });
}

/** A pipeline as a target. */
export function pipelineTarget(name: string): { target: { case: "pipeline"; value: string } } {
  return { target: { case: "pipeline", value: name } };
}

/** A chain of modules as a target. */
export function inlineTarget(...modules: string[]): {
  target: { case: "inline"; value: { modules: string[] } };
} {
  return { target: { case: "inline", value: { modules } } };
}

/** A request for a stored pipeline. */
export function request(pipeline: string, ...values: readonly (string | Uint8Array)[]) {
  return { target: pipelineTarget(pipeline), batch: batchOf(...values) };
}

/** The request that opens a stream. */
export function open(
  pipeline: string,
  settings: { window?: number; unordered?: boolean; afterSequence?: bigint; streamId?: string } = {},
) {
  return { message: { case: "open" as const, value: { target: pipelineTarget(pipeline), ...settings } } };
}

/** The request that brings a batch. */
export function numbered(sequence: number, ...values: readonly (string | Uint8Array)[]) {
  return {
    message: { case: "batch" as const, value: { sequence: BigInt(sequence), batch: batchOf(...values) } },
  };
}

/** The values of a result's records, as text. */
export function valuesOf(result: TransformResult): string[] {
  return (result.batch?.records ?? []).map(({ value }) => Buffer.from(value ?? []).toString());
}

/** The failures of a result, each as `index code@stage`. */
export function failuresOf(result: TransformResult): string[] {
  return result.failures.map(({ index, code, stage }) => `${index} ${code}@${stage}`);
}

/** How many outputs each of so many inputs gave. */
export function fanoutOf(result: TransformResult, inputs: number): number[] {
  return result.fanout.length === 0 ? new Array(inputs).fill(1) : [...result.fanout];
}

/** A result as tests compare it. */
export function shapeOf(result: TransformResult, inputs: number) {
  return { values: valuesOf(result), fanout: fanoutOf(result, inputs), failures: failuresOf(result) };
}

/** The four bytes that `marked.wat` counts down from, behind its mark. */
export function countdown(rounds: number): Uint8Array {
  const value = Buffer.alloc(5);
  value.write("&");
  value.writeUInt32LE(rounds, 1);
  return value;
}

/** A message's initial fields. */
export type BatchInit = MessageInitShape<typeof RecordBatchSchema>;
