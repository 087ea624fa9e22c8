/**
 * `leat module unload`.
 *
 * @module
 */

import type { Command } from "commander";
import { withLeat } from "../connection.ts";
import { addressOption } from "../options.ts";
import { print, printable } from "../text-table.ts";

const help = `
Batches in flight finish with it. A module that a stored pipeline uses stays.

Examples:
  leat module unload redact@1.1.0`;

/** Adds `module unload`. */
export function addUnloadCommand(module: Command): void {
  module
    .command("unload <MODULE>")
    .description("take a module out of the server")
    .addOption(addressOption())
    .addHelpText("after", help)
    .action(unload);
}

async function unload(reference: string, _options: object, command: Command): Promise<void> {
  await withLeat(command, async (leat) => {
    const { module } = await leat.modules.unloadModule({ reference });
    if (module !== undefined) await print(`unloaded ${printable(`${module.name}@${module.version}`)}\n`);
  });
}
