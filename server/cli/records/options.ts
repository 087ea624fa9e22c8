/**
 * The options of commands that read and write records.
 *
 * @module
 */

import { type Command, Option } from "commander";
import { count } from "../../config/kinds.ts";
import { readAs } from "../options.ts";
import type { FormatName } from "./format.ts";
import type { TransformOptions } from "./transform-records.ts";

/** The names of the formats; `format.ts`, which has them, takes long to load. */
const formatChoices: readonly FormatName[] = ["ndjson", "lines", "binary"];

/** Help on the formats. */
export const formatHelp = `
Formats:
  ndjson  each line is a JSON value, and that text is a record's value; empty lines are skipped
  lines   each line is a record's value, without its line feed; any bytes
  binary  each record is a leat.v1.Record message after its length as a varint: keys, headers,
          timestamps and tombstones survive only here

Records that fail are told one by one as NDJSON with file, line (binary: record), code, message, stage,
attempts, retryable and input, on stderr or in --failures. Then the exit code is 1; the others are written.
What a line or record is too long for (4 MiB) and what is no JSON fails before it is sent.`;

/** What {@link addRecordOptions} adds. */
export interface RecordOptions {
  readonly format: FormatName;
  readonly outputFormat?: FormatName;
  readonly failures?: string;
  readonly batchRecords: number;
  readonly window?: number;
}

/** Adds the options. */
export function addRecordOptions(command: Command): Command {
  return command
    .addOption(new Option("-f, --format <FORMAT>", "what is read").choices(formatChoices).default("ndjson"))
    .addOption(
      new Option("--output-format <FORMAT>", "what is written (default: as --format)").choices(formatChoices),
    )
    .option("--failures <FILE>", "write the failures there (default: stderr)")
    .option("--batch-records <N>", "the most records of a batch", readAs(count(1)), 1_000)
    .option("--window <N>", "batches under way at once (default: what the server allows)", readAs(count(1)));
}

/** The options as the transform takes them. No file is stdin. */
export function transformOptions(files: readonly string[], options: RecordOptions): TransformOptions {
  return {
    files: files.length === 0 ? ["-"] : files,
    format: options.format,
    outputFormat: options.outputFormat ?? options.format,
    failuresFile: options.failures,
    batchRecords: options.batchRecords,
    window: options.window,
  };
}
