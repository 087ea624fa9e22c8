/**
 * `leat module`: the subcommands about modules.
 *
 * @module
 */

import type { Command } from "commander";
import { addActivateCommand } from "./activate.ts";
import { addHistoryCommand } from "./history.ts";
import { addListCommand } from "./list.ts";
import { addLoadCommand } from "./load.ts";
import { addReleaseCommand } from "./release.ts";
import { addRollbackCommand } from "./rollback.ts";
import { addShowCommand } from "./show.ts";
import { addUnloadCommand } from "./unload.ts";

const help = `
A module is named NAME (its active version), NAME@VERSION or sha256:DIGEST.

Examples:
  leat module load build/redact.wasm --version 1.2.0
  leat module list
  leat module activate redact@1.1.0
  leat module rollback redact
  leat module unload redact@1.1.0`;

/** Adds `module` with its subcommands. */
export function addModuleCommands(program: Command): void {
  const module = program
    .command("module")
    .description("load, activate, roll back, list, show, release and unload modules")
    .addHelpText("after", help);
  addLoadCommand(module);
  addActivateCommand(module);
  addRollbackCommand(module);
  addHistoryCommand(module);
  addListCommand(module);
  addShowCommand(module);
  addReleaseCommand(module);
  addUnloadCommand(module);
}
