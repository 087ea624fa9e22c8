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
A second rollback goes one version further back, unless --expect names the version that is to be left.
"leat module history" tells what was active.

Examples:
  leat module rollback redact
  leat module rollback redact --expect 1.3.0`;

/** Adds `module rollback`. */
export function addRollbackCommand(module: Command): void {
  module
    .command("rollback <NAME>")
    .description("go back to the version that was active before")
    .option("--expect <VERSION>", "refuse it when another version than this one is active")
    .addOption(addressOption())
    .addHelpText("after", help)
    .action(rollback);
}

async function rollback(name: string, { expect }: { expect?: string }, command: Command): Promise<void> {
  await withLeat(command, async (leat) => {
    // So that a call that is sent again does not go back twice.
    const expectedVersion = expect ?? (await leat.modules.getModule({ reference: name })).module?.version;
    const call = expectedVersion === undefined ? { name } : { name, expectedVersion };
    const { module, previousVersion } = await leat.modules.rollbackModule(call);
    if (module === undefined) return;
    await print(`rolled ${printable(`${name} back from ${previousVersion} to ${module.version}`)}\n`);
  });
}
