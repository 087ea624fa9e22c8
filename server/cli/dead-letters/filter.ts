/**
 * The options that select dead letters.
 *
 * @module
 */

import { type Timestamp, timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Command } from "commander";
import { Option } from "commander";
import { readTime } from "../options.ts";

/** What {@link addFilterOptions} adds. */
export interface FilterOptions {
  readonly pipeline?: string;
  readonly stage?: string;
  readonly code?: string;
  readonly module?: string;
  readonly since?: number;
  readonly until?: number;
}

/** A filter as the service takes it. */
export interface FilterInput {
  readonly ids: string[];
  readonly pipeline: string;
  readonly stage: string;
  readonly code: string;
  readonly module: string;
  readonly since?: Timestamp;
  readonly until?: Timestamp;
}

/** Adds the options. */
export function addFilterOptions(command: Command): Command {
  return command
    .option("-p, --pipeline <NAME>", "letters of this pipeline")
    .option("--stage <NAME>", "letters of this stage")
    .option("--code <CODE>", "letters with this failure code")
    .option("-m, --module <MODULE>", "letters of this module: NAME, NAME@VERSION or sha256:DIGEST")
    .addOption(
      new Option(
        "--since <TIME>",
        "letters of this time or later, such as 2026-01-31T12:00:00Z or 2h (ago)",
      ).argParser(readTime),
    )
    .addOption(new Option("--until <TIME>", "letters from before this time").argParser(readTime));
}

/** The filter that ids and options make. */
export function filterOf(ids: readonly string[], options: FilterOptions): FilterInput {
  const { pipeline = "", stage = "", code = "", module = "", since, until } = options;
  return {
    ...{ ids: [...ids], pipeline, stage, code, module },
    ...(since === undefined ? {} : { since: timestampFromMs(since) }),
    ...(until === undefined ? {} : { until: timestampFromMs(until) }),
  };
}

/** Whether nothing is selected in particular. */
export function selectsAll({ ids, pipeline, stage, code, module, since, until }: FilterInput): boolean {
  return ids.length === 0 && [pipeline, stage, code, module].every((text) => text === "") && !since && !until;
}
