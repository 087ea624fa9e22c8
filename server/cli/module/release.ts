/**
 * `leat module release`.
 *
 * @module
 */

import type { Command } from "commander";
import { withLeat } from "../connection.ts";
import { addressOption } from "../options.ts";
import { print, printable } from "../text-table.ts";

const help = `
A module is in quarantine when the server process ended while it ran, or it kept bringing workers down; "leat module list" shows it. Once released it
may run at once, and what was held against it is forgotten.

Examples:
  leat module release redact
  leat module release sha256:6f1e…`;

/** Adds `module release`. */
export function addReleaseCommand(module: Command): void {
  module
    .command("release <MODULE>")
    .description("end a module's quarantine")
    .addOption(addressOption())
    .addHelpText("after", help)
    .action(release);
}

async function release(reference: string, _options: object, command: Command): Promise<void> {
  await withLeat(command, async (leat) => {
    const { digest, wasQuarantined } = await leat.modules.releaseModule({ reference });
    await print(
      `${wasQuarantined ? "released" : "was not in quarantine:"} ${printable(reference)} (${digest})\n`,
    );
  });
}
