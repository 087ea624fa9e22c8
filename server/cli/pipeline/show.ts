/**
 * `leat pipeline show`.
 *
 * @module
 */

import type { Command } from "commander";
import { withLeat } from "../connection.ts";
import { addressOption, jsonOption } from "../options.ts";
import { print } from "../text-table.ts";
import { revisionOption } from "./revision-option.ts";
import { writtenYaml } from "./written.ts";

/** Adds `pipeline show`. */
export function addShowCommand(pipeline: Command): void {
  pipeline
    .command("show <NAME>")
    .description("show one pipeline, as YAML that `pipeline apply` takes")
    .addOption(revisionOption("an earlier revision, by its number; default: the one that serves"))
    .addOption(jsonOption())
    .addOption(addressOption())
    .addHelpText(
      "after",
      "\nExamples:\n  leat pipeline show orders >orders.yaml\n  leat pipeline show orders --revision 3",
    )
    .action(show);
}

async function show(
  name: string,
  options: { json?: boolean; revision?: number },
  command: Command,
): Promise<void> {
  await withLeat(command, async (leat) => {
    const { pipeline } = await leat.pipelines.getPipeline({ name, revision: options.revision ?? 0 });
    if (pipeline === undefined) return;
    if (options.json) {
      const { PipelineSchema } = await import("@leat/sdk");
      const { toJsonString } = await import("@bufbuild/protobuf");
      await print(`${toJsonString(PipelineSchema, pipeline, { prettySpaces: 2 })}\n`);
      return;
    }
    await print(`# revision ${pipeline.revision}\n${await writtenYaml(pipeline)}`);
  });
}
