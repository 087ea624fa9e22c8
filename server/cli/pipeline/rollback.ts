/**
 * `leat pipeline rollback`.
 *
 * @module
 */

import type { Command } from "commander";
import { withLeat } from "../connection.ts";
import { addressOption } from "../options.ts";
import { print, printable } from "../text-table.ts";
import { difference } from "./difference.ts";
import { revisionOption } from "./revision-option.ts";

const help = `
Without --revision it goes back to the revision that served before the one that serves now, and a second rollback
goes further back. The pipeline changes once the other revision is compiled and warmed, or not at all.

Examples:
  leat pipeline rollback orders
  leat pipeline rollback orders --revision 3 --dry-run`;

/** Adds `pipeline rollback`. */
export function addRollbackCommand(pipeline: Command): void {
  pipeline
    .command("rollback <NAME>")
    .description("let an earlier revision of a pipeline serve again")
    .addOption(revisionOption("the revision to go to; default: the one that served before"))
    .option("--dry-run", "check it and show what would change, and change nothing")
    .addOption(addressOption())
    .addHelpText("after", help)
    .action(rollback);
}

async function rollback(
  name: string,
  options: { revision?: number; dryRun?: boolean },
  command: Command,
): Promise<void> {
  const { revision = 0, dryRun: validateOnly = false } = options;
  await withLeat(command, async (leat) => {
    const { pipeline: serving } = await leat.pipelines.getPipeline({ name });
    if (serving === undefined) return;
    // So that a call that is sent again does not go back twice.
    const expectedRevision = serving.revision;
    const call = { name, revision, expectedRevision, validateOnly };
    const { pipeline, previousRevision, alreadyServing } = await leat.pipelines.rollbackPipeline(call);
    if (pipeline === undefined) return;
    const [shown, to] = [printable(name), pipeline.revision];
    if (alreadyServing) return await print(`${shown} is at revision ${to} already\n`);
    const did = validateOnly ? "would roll" : "rolled";
    await print(`${did} ${shown} from revision ${previousRevision} to ${to}\n`);
    await print(await difference(serving, pipeline));
  });
}
