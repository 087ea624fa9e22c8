/**
 * `leat config set`.
 *
 * @module
 */

import type { Command } from "commander";
import { withLeat } from "../connection.ts";
import { usageError } from "../failure.ts";
import { addressOption } from "../options.ts";
import { print } from "../text-table.ts";
import { printChanges } from "./changes.ts";

const help = `
Goes over the file, variables and flags until the server reads its file again or starts anew; nothing is written to a file.
All keys are set together, or none. "leat config show" has the keys that may change.

Examples:
  leat config set log.level=debug
  leat config set workers=3 limits.maxQueueDelayMs=500ms --dry-run`;

/** Adds `config set`. */
export function addSetCommand(config: Command): void {
  config
    .command("set")
    .description("set keys of a running server until its next reload")
    .argument("<KEY=VALUE...>", "keys with their values, as in leat.yaml")
    .option("--dry-run", "check only")
    .addOption(addressOption())
    .addHelpText("after", help)
    .action(set);
}

async function set(pairs: readonly string[], options: { dryRun?: boolean }, command: Command): Promise<void> {
  const values = Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf("=");
      if (at <= 0) throw usageError(`${pair}: write KEY=VALUE`);
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
  await withLeat(command, async (leat) => {
    const { changed } = await leat.config.setConfig({ values, dryRun: options.dryRun === true });
    if (changed.length === 0) await print("nothing has changed\n");
    await printChanges(options.dryRun ? "would change" : "changed", changed);
  });
}
