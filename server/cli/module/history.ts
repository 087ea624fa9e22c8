/**
 * `leat module history`.
 *
 * @module
 */

import type { Command } from "commander";
import { withLeat } from "../connection.ts";
import { addressOption, jsonOption } from "../options.ts";
import { formatTable, print } from "../text-table.ts";
import { utc } from "./describe.ts";

/** Adds `module history`. */
export function addHistoryCommand(module: Command): void {
  module
    .command("history <NAME>")
    .description("tell which versions were active, newest first")
    .addOption(jsonOption())
    .addOption(addressOption())
    .addHelpText("after", "\nExamples:\n  leat module history redact")
    .action(history);
}

async function history(name: string, options: { json?: boolean }, command: Command): Promise<void> {
  await withLeat(command, async (leat) => {
    const response = await leat.modules.getModuleHistory({ name });
    const { ActivationCause, GetModuleHistoryResponseSchema } = await import("@leat/sdk");
    if (options.json) {
      const { toJsonString } = await import("@bufbuild/protobuf");
      await print(`${toJsonString(GetModuleHistoryResponseSchema, response, { prettySpaces: 2 })}\n`);
      return;
    }
    const causes = new Map<number, string>([
      [ActivationCause.LOAD, "loaded"],
      [ActivationCause.ACTIVATE, "activated"],
      [ActivationCause.ROLLBACK, "rolled back to"],
      [ActivationCause.PROMOTE, "promoted"],
      [ActivationCause.UNLOAD, "the one after it was unloaded"],
    ]);
    const rows = response.activations.map(({ version, digest, time, cause }) => [
      version,
      utc(time),
      causes.get(cause) ?? "",
      digest.slice(0, 19),
    ]);
    await print(formatTable(["VERSION", "ACTIVE SINCE", "WHY", "DIGEST"], rows));
  });
}
