/**
 * `leat pipeline`: the subcommands about pipelines.
 *
 * @module
 */

import type { Command } from "commander";
import { addApplyCommand } from "./apply.ts";
import { addDeleteCommand } from "./delete.ts";
import { addHistoryCommand } from "./history.ts";
import { addListCommand } from "./list.ts";
import { addRollbackCommand } from "./rollback.ts";
import { addShowCommand } from "./show.ts";

/** Adds `pipeline` with its subcommands. */
export function addPipelineCommands(program: Command): void {
  const pipeline = program
    .command("pipeline")
    .description("apply, list, show, roll back and delete pipelines")
    .addHelpText(
      "after",
      "\nExamples:\n  leat pipeline apply pipelines.yaml\n  leat pipeline show orders >orders.yaml",
    );
  addApplyCommand(pipeline);
  addListCommand(pipeline);
  addShowCommand(pipeline);
  addHistoryCommand(pipeline);
  addRollbackCommand(pipeline);
  addDeleteCommand(pipeline);
}
