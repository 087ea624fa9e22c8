/**
 * `leat dead-letters show`.
 *
 * @module
 */

import type { Command } from "commander";
import { withLeat } from "../connection.ts";
import { addressOption, jsonOption } from "../options.ts";
import { formatFields, print } from "../text-table.ts";
import { letterTime, recordFields } from "./describe.ts";

const help = `
Keys, values and headers are shown as text where they are text, else as base64. What the failing stage
was given is shown where it differs from the record.

Examples:
  leat dead-letters show 0c9a4f7e21d84bb6
  leat dead-letters show 0c9a4f7e21d84bb6 --json | jq -r .record.value | base64 -d`;

/** Adds `dead-letters show`. */
export function addShowCommand(letters: Command): void {
  letters
    .command("show <ID>")
    .description("show one dead letter with its record")
    .addOption(jsonOption())
    .addOption(addressOption())
    .addHelpText("after", help)
    .action(show);
}

async function show(id: string, options: { json?: boolean }, command: Command): Promise<void> {
  await withLeat(command, async (leat) => {
    const { deadLetter: letter } = await leat.deadLetters.getDeadLetter({ id });
    if (letter === undefined) return;
    if (options.json) {
      const { DeadLetterSchema } = await import("@leat/sdk");
      const { toJsonString } = await import("@bufbuild/protobuf");
      await print(`${toJsonString(DeadLetterSchema, letter, { prettySpaces: 2 })}\n`);
      return;
    }
    const { streamId, sequence, index } = letter;
    await print(
      formatFields([
        ["id", letter.id],
        ["time", letterTime(letter)],
        ["pipeline", letter.pipeline],
        ["stage", letter.stage],
        ["module", letter.module],
        ["digest", letter.digest],
        ["code", letter.code],
        ["message", letter.message],
        ["tries", String(letter.attempts)],
        ["trace", letter.traceId],
        [
          "from",
          streamId === ""
            ? `record ${index} of a call`
            : `stream ${streamId}, batch ${sequence}, record ${index}`,
        ],
        ...(letter.record === undefined ? [] : recordFields("record", letter.record)),
        ...(letter.stageInput === undefined ? [] : recordFields("stage input", letter.stageInput)),
      ]),
    );
  });
}
