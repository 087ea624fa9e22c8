/**
 * `leat dead-letters purge`.
 *
 * @module
 */

import { type Command, Option } from "commander";
import { withLeat } from "../connection.ts";
import { usageError } from "../failure.ts";
import { addressOption, jsonOption } from "../options.ts";
import { formatCount, print } from "../text-table.ts";
import { addFilterOptions, type FilterOptions, filterOf, selectsAll } from "./filter.ts";

const help = `
What is purged is gone. "leat dead-letters list" takes the same options and shows what would go.

Examples:
  leat dead-letters purge 0c9a4f7e21d84bb6
  leat dead-letters purge --pipeline orders --until 24h
  leat dead-letters purge --all`;

interface PurgeOptions extends FilterOptions {
  readonly all?: boolean;
  readonly json?: boolean;
}

/** Adds `dead-letters purge`. */
export function addPurgeCommand(letters: Command): void {
  addFilterOptions(letters.command("purge [ID...]").description("remove dead letters for good"))
    .addOption(
      new Option("--all", "remove all").conflicts(["pipeline", "stage", "code", "module", "since", "until"]),
    )
    .addOption(jsonOption())
    .addOption(addressOption())
    .addHelpText("after", help)
    .action(purge);
}

async function purge(ids: readonly string[], options: PurgeOptions, command: Command): Promise<void> {
  const { all = false, json } = options;
  const filter = filterOf(ids, options);
  if (selectsAll(filter) && !all)
    throw usageError("say which letters to purge: their ids, options that select them, or --all");
  if (all && ids.length > 0) throw usageError("--all cannot be given with ids");
  await withLeat(command, async (leat) => {
    const { removed } = await leat.deadLetters.purgeDeadLetters({ filter, all });
    const what = removed === 1n ? "dead letter" : "dead letters";
    await print(
      json
        ? `${JSON.stringify({ removed: Number(removed) })}\n`
        : `removed ${formatCount(Number(removed))} ${what}\n`,
    );
  });
}
