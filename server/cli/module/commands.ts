/**
 * `leat module`: the subcommands about modules.
 *
 * @module
 */

import type { Command } from "commander";
import { addActivateCommand } from "./activate.ts";
import { addHistoryCommand } from "./history.ts";
import { addKeygenCommand } from "./keygen.ts";
import { addListCommand } from "./list.ts";
import { addLoadCommand } from "./load.ts";
import { addReleaseCommand } from "./release.ts";
import { addRollbackCommand } from "./rollback.ts";
import { addSchemaCommands } from "./schema.ts";
import { addShowCommand } from "./show.ts";
import { addSignCommand } from "./sign.ts";
import { addUnloadCommand } from "./unload.ts";
import { addVerifyCommand } from "./verify.ts";

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
    .description("load, activate, roll back, list, show, release, unload and sign modules")
    .addHelpText("after", help);
  addLoadCommand(module);
  addActivateCommand(module);
  addRollbackCommand(module);
  addHistoryCommand(module);
  addListCommand(module);
  addShowCommand(module);
  addReleaseCommand(module);
  addUnloadCommand(module);
  addSchemaCommands(module);
  addKeygenCommand(module);
  addSignCommand(module);
  addVerifyCommand(module);
}
