/**
 * `leat module rollback`.
 *
 * @module
 */

import type { Command } from "commander";
import { withLeat } from "../connection.ts";
import { addressOption } from "../options.ts";
import { print, printable } from "../text-table.ts";

const help = `
A second rollback goes one version further back. "leat module history" tells what was active.

Examples:
  leat module rollback redact`;

/** Adds `module rollback`. */
export function addRollbackCommand(module: Command): void {
  module
    .command("rollback <NAME>")
    .description("go back to the version that was active before")
    .addOption(addressOption())
    .addHelpText("after", help)
    .action(rollback);
}

async function rollback(name: string, _options: object, command: Command): Promise<void> {
  await withLeat(command, async (leat) => {
    const { module, previousVersion } = await leat.modules.rollbackModule({ name });
    if (module === undefined) return;
    await print(`rolled ${printable(`${name} back from ${previousVersion} to ${module.version}`)}\n`);
  });
}
