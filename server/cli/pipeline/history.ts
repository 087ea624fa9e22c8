/**
 * `leat pipeline history`.
 *
 * @module
 */

import type { Command } from "commander";
import { withLeat } from "../connection.ts";
import { utc } from "../module/describe.ts";
import { addressOption, jsonOption } from "../options.ts";
import { formatTable, print } from "../text-table.ts";

const help = `
REPLACED is the revision that served before: where a rollback goes.

Examples:
  leat pipeline history orders
  leat pipeline show orders --revision 3`;

/** Adds `pipeline history`. */
export function addHistoryCommand(pipeline: Command): void {
  pipeline
    .command("history <NAME>")
    .description("list the revisions of a pipeline, newest first")
    .addOption(jsonOption())
    .addOption(addressOption())
    .addHelpText("after", help)
    .action(history);
}

async function history(name: string, options: { json?: boolean }, command: Command): Promise<void> {
  await withLeat(command, async (leat) => {
    const response = await leat.pipelines.listPipelineRevisions({ name });
    if (options.json) {
      const { ListPipelineRevisionsResponseSchema } = await import("@leat/sdk");
      const { toJsonString } = await import("@bufbuild/protobuf");
      await print(`${toJsonString(ListPipelineRevisionsResponseSchema, response, { prettySpaces: 2 })}\n`);
      return;
    }
    const rows = response.revisions.map((each) => [
      String(each.revision),
      each.serving ? "yes" : "",
      utc(each.createTime),
      each.principal,
      each.previousRevision === 0 ? "" : String(each.previousRevision),
      each.digest.slice(0, 19),
    ]);
    await print(formatTable(["REVISION", "SERVES", "PUT", "BY", "REPLACED", "DIGEST"], rows));
  });
}
