/**
 * Runs what files hold through a server, and writes what comes back.
 *
 * @module
 */

import type { BatchResult, Leat, OutputRecord, TargetInput } from "@leat/sdk";
import { defaultLimits } from "../../limits.ts";
import { CommandError } from "../failure.ts";
import { formatTally, showProgress, type Tally } from "../progress.ts";
import { formatCount, print } from "../text-table.ts";
import { type FailureReport, failuresTo, failuresToFile } from "./failure-report.ts";
import { type Format, FormatError, type FormatName, formats } from "./format.ts";
import { readRecords, type SourceRecord, totalBytes } from "./source.ts";

/** What to transform, and how. */
export interface TransformOptions {
  /** Files to read; `-` is stdin. */
  readonly files: readonly string[];
  readonly format: FormatName;
  readonly outputFormat: FormatName;
  /** Where failures go; undefined for stderr. */
  readonly failuresFile: string | undefined;
  /** The most records of a batch. */
  readonly batchRecords: number;
  /** Batches under way; undefined for as many as the server allows. */
  readonly window: number | undefined;
}

/** What a record takes in a batch beside its value, at most, when it has nothing else. */
const recordOverheadBytes = 32;

/**
 * Transforms records. What is in memory is a window of batches, however large the input is.
 *
 * @throws CommandError when records failed; they are reported by then
 */
export async function transformRecords(
  leat: Leat,
  target: TargetInput,
  options: TransformOptions,
): Promise<void> {
  const { files, failuresFile } = options;
  const [input, output] = [formats[options.format], formats[options.outputFormat]];
  const total = await totalBytes(files);
  const tally: Tally = { bytes: 0, in: 0, out: 0, dropped: 0, failed: 0 };
  const startMs = performance.now();
  const progress = showProgress(tally, total);
  const failures =
    failuresFile === undefined
      ? failuresTo((line) => progress.log(line), input)
      : await failuresToFile(failuresFile, input);
  const source = readRecords(files, {
    format: input,
    maxBatchRecords: options.batchRecords,
    maxPieceBytes: defaultLimits.maxBatchBytes - recordOverheadBytes,
    onBytes: (bytes) => {
      tally.bytes += bytes;
    },
    onRefused: (origin, code, message) => {
      tally.in++;
      tally.failed++;
      failures.write(origin, { code, message, stage: "", attempts: 0, retryable: false });
    },
  });
  try {
    const results = leat.stream(
      target,
      source,
      options.window === undefined ? {} : { window: options.window },
    );
    for await (const result of results) {
      await writeResult(result as BatchResult<SourceRecord, OutputRecord>, output, failures, tally);
      await failures.drained();
    }
  } finally {
    progress.stop();
    await failures.close();
  }
  const summary = formatTally(tally, (performance.now() - startMs) / 1_000);
  if (process.stderr.isTTY) process.stderr.write(`${summary}\n`);
  if (tally.failed === 0) return;
  // Without a file the failures themselves are on stderr: one more line would be no JSON.
  const told = failuresFile === undefined ? "" : `; ${failuresFile} says why`;
  throw new CommandError(
    told === "" ? "" : `${formatCount(tally.failed)} of ${formatCount(tally.in)} records failed${told}`,
  );
}

/** Writes the outputs of one batch, and reports its failures. */
async function writeResult(
  result: BatchResult<SourceRecord, OutputRecord>,
  format: Format,
  failures: FailureReport,
  tally: Tally,
): Promise<void> {
  const parts: Uint8Array[] = [];
  for (const [index, outcome] of result.outcomes.entries()) {
    const origin = result.inputs[index]?.origin;
    tally.in++;
    const written = parts.length;
    let failure = outcome.status === "failed" ? outcome.failure : undefined;
    for (const record of outcome.status === "dropped" ? [] : outcome.outputs) {
      try {
        format.write(record, parts);
        tally.out++;
      } catch (error) {
        if (!(error instanceof FormatError)) throw error;
        const { code, message } = error;
        failure ??= { index, code, message, stage: "", attempts: 0, retryable: false, deadLetterId: "" };
      }
    }
    if (failure !== undefined) {
      tally.failed++;
      if (origin !== undefined) failures.write(origin, failure);
    } else if (parts.length === written) {
      tally.dropped++;
    }
  }
  if (parts.length > 0) await print(Buffer.concat(parts));
}
