/**
 * `leat pipeline list`.
 *
 * @module
 */

import type { Command } from "commander";
import { withLeat } from "../connection.ts";
import { addressOption, jsonOption } from "../options.ts";
import { formatTable, print } from "../text-table.ts";

/** Adds `pipeline list`. */
export function addListCommand(pipeline: Command): void {
  pipeline
    .command("list")
    .description("list the stored pipelines")
    .addOption(jsonOption())
    .addOption(addressOption())
    .addHelpText("after", "\nExamples:\n  leat pipeline list\n  leat pipeline list --json")
    .action(list);
}

async function list(options: { json?: boolean }, command: Command): Promise<void> {
  await withLeat(command, async (leat) => {
    const { pipelines } = await leat.pipelines.listPipelines({});
    if (options.json) {
      const { PipelineSchema } = await import("@leat/sdk");
      const { toJson } = await import("@bufbuild/protobuf");
      const all = pipelines.map((pipeline) => toJson(PipelineSchema, pipeline));
      await print(`${JSON.stringify(all, undefined, 2)}\n`);
      return;
    }
    if (pipelines.length === 0) {
      process.stderr.write("no pipelines are stored\n");
      return;
    }
    const rows = pipelines.map(({ name, revision, stages, description }) => [
      name,
      String(revision),
      stages.map(({ module }) => module).join(" > "),
      description,
    ]);
    await print(formatTable(["NAME", "REVISION", "STAGES", "DESCRIPTION"], rows));
  });
}
