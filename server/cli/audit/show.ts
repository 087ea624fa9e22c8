/**
 * `leat audit show`.
 *
 * @module
 */

import type { Command } from "commander";
import { InvalidArgumentError } from "commander";
import { withLeat } from "../connection.ts";
import { addressOption, jsonOption } from "../options.ts";
import { formatFields, print } from "../text-table.ts";
import { actorName, entryTime } from "./describe.ts";

const help = `
Examples:
  leat audit show 1042
  leat audit show 1042 --json | jq -r .target.digest`;

/** Adds `audit show`. */
export function addShowCommand(audit: Command): void {
  audit
    .command("show")
    .argument("<ENTRY>", "the entry's number", readSequence)
    .description("show one entry with all that it says")
    .addOption(jsonOption())
    .addOption(addressOption())
    .addHelpText("after", help)
    .action(show);
}

/** Reads an entry's place in the log. */
export function readSequence(text: string): bigint {
  if (!/^[1-9]\d{0,15}$/.test(text)) throw new InvalidArgumentError("Give a number from 1.");
  return BigInt(text);
}

async function show(sequence: bigint, options: { json?: boolean }, command: Command): Promise<void> {
  await withLeat(command, async (leat) => {
    const { AuditActorKind, AuditEntrySchema } = await import("@leat/sdk");
    const { entry } = await leat.audit.getAuditEntry({ sequence });
    if (entry === undefined) return;
    if (options.json) {
      const { toJsonString } = await import("@bufbuild/protobuf");
      await print(`${toJsonString(AuditEntrySchema, entry, { prettySpaces: 2 })}\n`);
      return;
    }
    const { actor, target } = entry;
    const [kind] = Object.entries(AuditActorKind).find(([, value]) => value === actor?.kind) ?? [];
    const fields: (readonly [string, string])[] = [
      ["entry", String(entry.sequence)],
      ["time", entryTime(entry)],
      ["principal", actorName(entry, AuditActorKind.START)],
      ["proved by", kind?.toLowerCase() ?? ""],
      ["roles", actor?.roles.join(", ") ?? ""],
      ["from", actor?.peer ?? ""],
      ["action", entry.action],
      ["target", target?.name ?? ""],
      ["version", target?.version ?? ""],
      ["digest", target?.digest ?? ""],
      ["signed by", target?.signers.join(", ") ?? ""],
      ["outcome", entry.outcome],
      ["detail", entry.detail],
      ["omitted", entry.omitted === 0 ? "" : `${entry.omitted} refusals before this one have no entry`],
      ["hash before", entry.previousHash],
      ["hash", entry.hash],
    ];
    await print(formatFields(fields.filter(([, value]) => value !== "")));
  });
}
