/**
 * `leat pipeline delete`.
 *
 * @module
 */

import type { Command } from "commander";
import { withLeat } from "../connection.ts";
import { addressOption } from "../options.ts";
import { print, printable } from "../text-table.ts";

/** Adds `pipeline delete`. */
export function addDeleteCommand(pipeline: Command): void {
  pipeline
    .command("delete <NAME>")
    .description("delete a pipeline; batches in flight finish")
    .addOption(addressOption())
    .addHelpText("after", "\nExamples:\n  leat pipeline delete orders")
    .action(remove);
}

async function remove(name: string, _options: object, command: Command): Promise<void> {
  await withLeat(command, async (leat) => {
    await leat.pipelines.deletePipeline({ name });
    await print(`deleted ${printable(name)}\n`);
  });
}
