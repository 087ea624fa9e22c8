/**
 * `leat module activate`.
 *
 * @module
 */

import type { Command } from "commander";
import { withLeat } from "../connection.ts";
import { addressOption } from "../options.ts";
import { print, printable } from "../text-table.ts";

const help = `
Pipelines that name the module without a version move to this one, all together, once it is compiled and warmed.
Batches in flight finish with the version before.

Examples:
  leat module activate redact@1.2.0`;

/** Adds `module activate`. */
export function addActivateCommand(module: Command): void {
  module
    .command("activate <MODULE>")
    .description("make a loaded version the one that its bare name means")
    .addOption(addressOption())
    .addHelpText("after", help)
    .action(activate);
}

async function activate(reference: string, _options: object, command: Command): Promise<void> {
  await withLeat(command, async (leat) => {
    const response = await leat.modules.activateModule({ reference });
    const { module, previousVersion, alreadyActive } = response;
    if (module === undefined) return;
    const name = printable(`${module.name}@${module.version}`);
    if (alreadyActive) await print(`${name} was active already\n`);
    else
      await print(
        `activated ${name}${previousVersion === "" ? "" : printable(` in place of ${previousVersion}`)}\n`,
      );
  });
}
