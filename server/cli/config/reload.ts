/**
 * `leat config reload`.
 *
 * @module
 */

import type { Command } from "commander";
import { withLeat } from "../connection.ts";
import { addressOption } from "../options.ts";
import { print } from "../text-table.ts";
import { printChanges } from "./changes.ts";

const help = `
The server reads its leat.yaml again, as on SIGHUP. A mistake changes nothing, and exit code 1 follows. What "leat config
set" has set is dropped. Keys that take a restart are named; all others hold at once.`;

/** Adds `config reload`. */
export function addReloadCommand(config: Command): void {
  config
    .command("reload")
    .description("have a running server read its configuration again")
    .addOption(addressOption())
    .addHelpText("after", help)
    .action(reload);
}

async function reload(_: object, command: Command): Promise<void> {
  await withLeat(command, async (leat) => {
    const { changed, needRestart } = await leat.config.reloadConfig({});
    if (changed.length + needRestart.length === 0) await print("nothing has changed\n");
    await printChanges("changed", changed);
    await printChanges("takes a restart:", needRestart);
  });
}
