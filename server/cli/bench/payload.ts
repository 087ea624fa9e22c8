/**
 * The batches of a load, encoded ahead so that making them costs nothing while it runs.
 *
 * @module
 */

import { readFile } from "node:fs/promises";
import { type EncodedBatch, encodeBatch } from "@leat/sdk";
import { usageError } from "../failure.ts";

/** What records hold. */
export interface PayloadOptions {
  readonly recordBytes: number;
  readonly batchRecords: number;
  readonly input?: string;
}

/** The most different batches that are made from a file. */
const maxBatches = 64;

/**
 * Makes the batches, which a load then sends in turn.
 *
 * @throws CommandError for a file without a line
 */
export async function makeBatches(options: PayloadOptions): Promise<readonly EncodedBatch[]> {
  const { recordBytes, batchRecords, input } = options;
  if (input === undefined) {
    const records = Array.from({ length: batchRecords }, (_, place) => ({
      value: letters(recordBytes, place),
    }));
    return [encodeBatch(records)];
  }
  const lines = (await readFile(input, "utf8")).split("\n").filter((line) => line !== "");
  if (lines.length === 0) throw usageError(`--input ${input}: it has no line`);
  const batchCount = Math.min(maxBatches, Math.ceil(lines.length / batchRecords));
  return Array.from({ length: batchCount }, (_, batch) =>
    encodeBatch(
      Array.from({ length: batchRecords }, (_, place) => ({
        value: lines[(batch * batchRecords + place) % lines.length] ?? "",
      })),
    ),
  );
}

/** Letters that differ from record to record, and are the same in every run. */
function letters(length: number, place: number): string {
  let state = place + 1;
  let text = "";
  while (text.length < length) {
    // The generator of Park and Miller.
    state = (state * 48_271) % 2_147_483_647;
    text += String.fromCharCode(97 + (state % 26));
  }
  return text;
}
