/**
 * `leat module`: the subcommands about modules.
 *
 * @module
 */

import type { Command } from "commander";
import { addListCommand } from "./list.ts";
import { addLoadCommand } from "./load.ts";
import { addReleaseCommand } from "./release.ts";
import { addShowCommand } from "./show.ts";
import { addUnloadCommand } from "./unload.ts";

const help = `
A module is named NAME (its newest version), NAME@VERSION or sha256:DIGEST.

Examples:
  leat module load build/redact.wasm --version 1.2.0
  leat module list
  leat module unload redact@1.1.0`;

/** Adds `module` with its subcommands. */
export function addModuleCommands(program: Command): void {
  const module = program
    .command("module")
    .description("load, list, show, release and unload modules")
    .addHelpText("after", help);
  addLoadCommand(module);
  addListCommand(module);
  addShowCommand(module);
  addReleaseCommand(module);
  addUnloadCommand(module);
}
