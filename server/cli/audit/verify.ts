/**
 * `leat audit verify`.
 *
 * @module
 */

import type { Command } from "commander";
import { InvalidArgumentError, Option } from "commander";
import { withLeat } from "../connection.ts";
import { CommandError } from "../failure.ts";
import { addressOption, jsonOption } from "../options.ts";
import { formatCount, print } from "../text-table.ts";
import { notDurable } from "./describe.ts";
import { readSequence } from "./show.ts";

const help = `
Walks the whole log on the server. The exit code is 1 when an entry does not follow from the one before it,
or is not the one that --known names. Keep what a check prints as its last entry elsewhere, and name it in
the next one: a log that was written anew as a whole is only found that way.

Examples:
  leat audit verify
  leat audit verify --known 1042:6f1c0a52…
  leat audit verify --json >>checks.ndjson`;

interface Known {
  readonly sequence: bigint;
  readonly hash: string;
}

/** Adds `audit verify`. */
export function addVerifyCommand(audit: Command): void {
  audit
    .command("verify")
    .description("check that nobody has changed the log")
    .addOption(
      new Option("--known <ENTRY:HASH>", "an entry that the log must have, from an earlier check").argParser(
        readKnown,
      ),
    )
    .addOption(jsonOption())
    .addOption(addressOption())
    .addHelpText("after", help)
    .action(verify);
}

function readKnown(text: string): Known {
  const [sequence = "", hash = ""] = text.split(":");
  if (!/^[0-9a-f]{64}$/.test(hash)) throw new InvalidArgumentError("Give ENTRY:HASH as a check prints it.");
  return { sequence: readSequence(sequence), hash };
}

async function verify(options: { known?: Known; json?: boolean }, command: Command): Promise<void> {
  const { known, json } = options;
  const valid = await withLeat(command, async (leat) => {
    const verdict = await leat.audit.verifyAudit({
      knownSequence: known?.sequence ?? 0n,
      knownHash: known?.hash ?? "",
    });
    const { entries, headSequence, headHash, brokenSequence, problem, anchorSequence } = verdict;
    if (json) {
      const { VerifyAuditResponseSchema } = await import("@leat/sdk");
      const { toJsonString } = await import("@bufbuild/protobuf");
      await print(`${toJsonString(VerifyAuditResponseSchema, verdict)}\n`);
    } else {
      const from = anchorSequence === 0n ? "" : ` from ${anchorSequence + 1n} on`;
      const last = headSequence === 0n ? "" : `, the last one ${headSequence}:${headHash}`;
      await print(`${formatCount(Number(entries))} entries${from} are good${last}\n`);
      if (!verdict.valid) await print(`entry ${brokenSequence} is broken: ${problem}\n`);
    }
    if (!verdict.durable) process.stderr.write(notDurable);
    return verdict.valid;
  });
  if (!valid) throw new CommandError("the audit log was changed");
}
