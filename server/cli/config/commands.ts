/**
 * `leat config`: the subcommands about the configuration.
 *
 * @module
 */

import type { Command } from "commander";
import { addCheckCommand } from "./check.ts";
import { addReloadCommand } from "./reload.ts";
import { addSchemaCommand } from "./schema.ts";
import { addSetCommand } from "./set.ts";
import { addShowCommand } from "./show.ts";

/** Adds `config` with its subcommands. */
export function addConfigCommands(program: Command): void {
  const config = program
    .command("config")
    .description("check, show, reload and set the configuration, and print its schema")
    .addHelpText(
      "after",
      "\nExamples:\n  leat config check leat.yaml\n  leat config show --server\n  leat config set log.level=debug",
    );
  addCheckCommand(config);
  addShowCommand(config);
  addReloadCommand(config);
  addSetCommand(config);
  addSchemaCommand(config);
}
