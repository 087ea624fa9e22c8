/**
 * `leat dead-letters list`.
 *
 * @module
 */

import type { DeadLetter } from "@leat/sdk";
import type { Command } from "commander";
import { count } from "../../config/kinds.ts";
import { withLeat } from "../connection.ts";
import { addressOption, jsonOption, readAs } from "../options.ts";
import { formatCount, formatSize, formatTable, print } from "../text-table.ts";
import { letterTime } from "./describe.ts";
import { addFilterOptions, type FilterOptions, filterOf } from "./filter.ts";

const defaultLimit = 100;
const maxPageSize = 1_000;

const help = `
With --json each letter is a line of JSON, without its record.

Examples:
  leat dead-letters list
  leat dead-letters list --pipeline orders --code timeout --since 2h
  leat dead-letters list --limit 100000 --json | jq -r .code | sort | uniq -c`;

interface ListOptions extends FilterOptions {
  readonly limit?: number;
  readonly json?: boolean;
}

/** Adds `dead-letters list`. */
export function addListCommand(letters: Command): void {
  addFilterOptions(letters.command("list").description("list dead letters, newest first"))
    .option("-n, --limit <COUNT>", `how many at most (default: ${defaultLimit})`, readAs(count(1)))
    .addOption(jsonOption())
    .addOption(addressOption())
    .addHelpText("after", help)
    .action(list);
}

async function list(options: ListOptions, command: Command): Promise<void> {
  await withLeat(command, async (leat) => {
    const filter = filterOf([], options);
    const limit = options.limit ?? defaultLimit;
    const { DeadLetterSchema } = await import("@leat/sdk");
    const { toJsonString } = await import("@bufbuild/protobuf");
    const shown: DeadLetter[] = [];
    let listed = 0;
    let total = 0n;
    let pageToken = "";
    do {
      const pageSize = Math.min(limit - listed, maxPageSize);
      const page = await leat.deadLetters.listDeadLetters({ filter, pageSize, pageToken });
      listed += page.deadLetters.length;
      total = page.total;
      pageToken = page.nextPageToken;
      if (options.json)
        await print(page.deadLetters.map((letter) => `${toJsonString(DeadLetterSchema, letter)}\n`).join(""));
      else shown.push(...page.deadLetters);
    } while (pageToken !== "" && listed < limit);
    if (shown.length > 0) await print(formatTable(headings, shown.map(row)));
    if (listed === 0) process.stderr.write("no dead letters\n");
    else if (pageToken !== "")
      process.stderr.write(
        `${formatCount(listed)} of ${formatCount(Number(total))} dead letters; --limit shows more\n`,
      );
  });
}

const headings = ["ID", "TIME", "PIPELINE", "STAGE", "MODULE", "CODE", "TRIES", "SIZE"];

function row(letter: DeadLetter): string[] {
  const { id, pipeline, stage, module, code, attempts, sizeBytes } = letter;
  return [id, letterTime(letter), pipeline, stage, module, code, String(attempts), formatSize(sizeBytes)];
}
