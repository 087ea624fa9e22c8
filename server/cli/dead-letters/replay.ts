/**
 * `leat dead-letters replay`.
 *
 * @module
 */

import type { ReplayDeadLettersResponse } from "@leat/sdk";
import type { Command } from "commander";
import { count } from "../../config/kinds.ts";
import { withLeat } from "../connection.ts";
import { CommandError, usageError } from "../failure.ts";
import { addressOption, collect, jsonOption, readAs } from "../options.ts";
import { formatCount, print, printable } from "../text-table.ts";
import { addFilterOptions, type FilterOptions, filterOf, selectsAll } from "./filter.ts";

const help = `
Letters run oldest first, each through its own pipeline as it is stored now, or through the one that --through
names; --with runs another version of a module of that pipeline. One that comes through is removed, unless --keep; one that fails again stays, with its tries counted up,
and makes the exit code 1. With --json each is a line of JSON with what the pipeline made of its record.

Examples:
  leat dead-letters replay 0c9a4f7e21d84bb6
  leat dead-letters replay --pipeline orders --code timeout
  leat dead-letters replay --pipeline orders --with redact@1.0.0
  leat dead-letters replay --module redact@1.0.0 --through orders-fixed --keep --json >results.ndjson`;

interface ReplayOptions extends FilterOptions {
  readonly through?: string;
  readonly with?: readonly string[];
  readonly limit?: number;
  readonly keep?: boolean;
  readonly json?: boolean;
}

/** Adds `dead-letters replay`. */
export function addReplayCommand(letters: Command): void {
  addFilterOptions(letters.command("replay [ID...]").description("run dead letters again"))
    .option("--through <PIPELINE>", "the pipeline to run them through (default: each letter's own)")
    .option(
      "--with <NAME@VERSION>",
      "run this version of a module in place of the pipeline's; may be repeated",
      collect,
    )
    .option("-n, --limit <COUNT>", "how many at most (default: all)", readAs(count(1)))
    .option("--keep", "keep letters that come through")
    .addOption(jsonOption())
    .addOption(addressOption())
    .addHelpText("after", help)
    .action(replay);
}

async function replay(ids: readonly string[], options: ReplayOptions, command: Command): Promise<void> {
  const filter = filterOf(ids, options);
  if (selectsAll(filter))
    throw usageError("say which letters to replay: their ids, or options that select them");
  const failed = await withLeat(command, async (leat) => {
    const { ReplayDeadLettersResponseSchema } = await import("@leat/sdk");
    const { toJsonString } = await import("@bufbuild/protobuf");
    const { through: pipeline = "", with: versions = [], limit = 0, keep = false } = options;
    const request = { filter, pipeline, versions: [...versions], limit, keep };
    let through = 0;
    let again = 0;
    for await (const response of leat.deadLetters.replayDeadLetters(request)) {
      if (response.result?.failures.length) again++;
      else through++;
      const line = options.json
        ? toJsonString(ReplayDeadLettersResponseSchema, response)
        : describe(response);
      await print(`${line}\n`);
    }
    const total = formatCount(through + again);
    process.stderr.write(
      `replayed ${total}: ${formatCount(through)} came through, ${formatCount(again)} failed again\n`,
    );
    return again;
  });
  if (failed > 0) throw new CommandError("");
}

function describe({ id, result, removed }: ReplayDeadLettersResponse): string {
  const [failure] = result?.failures ?? [];
  if (failure !== undefined)
    return printable(`${id} failed again with ${failure.code} at ${failure.stage}: ${failure.message}`);
  const outputs = result?.batch?.records.length ?? 0;
  return `${id} came through with ${outputs} ${outputs === 1 ? "record" : "records"}${removed ? "" : ", kept"}`;
}
