/**
 * `leat audit list`.
 *
 * @module
 */

import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { AuditEntry } from "@leat/sdk";
import type { Command } from "commander";
import { Option } from "commander";
import { count } from "../../config/kinds.ts";
import { withLeat } from "../connection.ts";
import { addressOption, jsonOption, readAs, readTime } from "../options.ts";
import { formatCount, formatTable, print } from "../text-table.ts";
import { actorName, entryTime, notDurable, shortAction, targetName } from "./describe.ts";

const defaultLimit = 100;
const maxPageSize = 1_000;

const help = `
With --json each entry is a line of JSON (NDJSON).

Examples:
  leat audit list
  leat audit list --since 24h --principal deployer --outcome failed
  leat audit list --action LoadModule --target redact@1.2.0
  leat audit list --limit 1000000 --json | jq -r .actor.name | sort | uniq -c`;

interface ListOptions {
  readonly since?: number;
  readonly until?: number;
  readonly principal?: string;
  readonly action?: string;
  readonly target?: string;
  readonly outcome?: string;
  readonly limit?: number;
  readonly json?: boolean;
}

/** Adds `audit list`. */
export function addListCommand(audit: Command): void {
  audit
    .command("list")
    .description("list entries, newest first")
    .addOption(
      new Option(
        "--since <TIME>",
        "entries of this time or later, such as 2026-01-31T12:00:00Z or 2h (ago)",
      ).argParser(readTime),
    )
    .addOption(new Option("--until <TIME>", "entries from before this time").argParser(readTime))
    .option("--principal <NAME>", "entries of this principal")
    .option("--action <ACTION>", "entries of this action, such as LoadModule")
    .option("--target <NAME>", "entries about this: NAME, NAME@VERSION or sha256:DIGEST")
    .option("--outcome <OUTCOME>", "entries with this outcome: ok, a reason, or failed for all but ok")
    .option("-n, --limit <COUNT>", `how many at most (default: ${defaultLimit})`, readAs(count(1)))
    .addOption(jsonOption())
    .addOption(addressOption())
    .addHelpText("after", help)
    .action(list);
}

async function list(options: ListOptions, command: Command): Promise<void> {
  await withLeat(command, async (leat) => {
    const { AuditActorKind, AuditEntrySchema } = await import("@leat/sdk");
    const { toJsonString } = await import("@bufbuild/protobuf");
    const limit = options.limit ?? defaultLimit;
    const shown: AuditEntry[] = [];
    let listed = 0;
    let durable = true;
    let pageToken = "";
    do {
      const pageSize = Math.min(limit - listed, maxPageSize);
      const page = await leat.audit.listAuditEntries({ filter: filterOf(options), pageSize, pageToken });
      listed += page.entries.length;
      durable = page.durable;
      pageToken = page.nextPageToken;
      if (options.json)
        await print(page.entries.map((entry) => `${toJsonString(AuditEntrySchema, entry)}\n`).join(""));
      else shown.push(...page.entries);
    } while (pageToken !== "" && listed < limit);
    if (shown.length > 0)
      await print(
        formatTable(
          headings,
          shown.map((entry) => row(entry, AuditActorKind.START)),
        ),
      );
    if (listed === 0) process.stderr.write("no entries\n");
    else if (pageToken !== "")
      process.stderr.write(`the newest ${formatCount(listed)} entries; --limit shows more\n`);
    if (!durable) process.stderr.write(notDurable);
  });
}

function filterOf({ since, until, principal = "", action = "", target = "", outcome = "" }: ListOptions) {
  return {
    ...{ principal, action, target, outcome },
    ...(since === undefined ? {} : { since: timestampFromMs(since) }),
    ...(until === undefined ? {} : { until: timestampFromMs(until) }),
  };
}

const headings = ["ENTRY", "TIME", "PRINCIPAL", "ACTION", "TARGET", "OUTCOME", "DETAIL"];

function row(entry: AuditEntry, startKind: number): string[] {
  const { sequence, outcome, detail, omitted } = entry;
  const more = omitted === 0 ? detail : `${omitted} refusals before this one have no entry`;
  return [
    String(sequence),
    entryTime(entry),
    actorName(entry, startKind),
    shortAction(entry),
    targetName(entry),
    outcome,
    more,
  ];
}
