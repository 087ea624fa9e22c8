/**
 * `leat audit`: the subcommands about who changed what on a server.
 *
 * @module
 */

import type { Command } from "commander";
import { addListCommand } from "./list.ts";
import { addShowCommand } from "./show.ts";
import { addVerifyCommand } from "./verify.ts";

const help = `
Every call that changes something makes an entry in the server's audit log, and so does what the server
loads when it starts. Entries stay until they grow too old or too many (limits maxAuditAgeDays,
maxAuditEntries); beyond the end of the server only where it has a data folder ("leat serve --data DIR").
Where the server has an access file, this needs the role admin for all pipelines.

Examples:
  leat audit list --since 24h
  leat audit show 1042
  leat audit verify`;

/** Adds `audit` with its subcommands. */
export function addAuditCommands(program: Command): void {
  const audit = program
    .command("audit")
    .description("list, show and check who changed what")
    .addHelpText("after", help);
  addListCommand(audit);
  addShowCommand(audit);
  addVerifyCommand(audit);
}
