/**
 * `leat pipeline apply`.
 *
 * @module
 */

import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import type { Leat, Pipeline } from "@leat/sdk";
import { type Command, Option } from "commander";
import type { PipelineInput } from "../../config/pipelines-file.ts";
import { withLeat } from "../connection.ts";
import { CommandError, describeError, usageError } from "../failure.ts";
import { addressOption } from "../options.ts";
import { print, printable } from "../text-table.ts";
import { difference } from "./difference.ts";
import { readRevision } from "./revision-option.ts";

const help = `
The file is YAML: one pipeline, or a list under "pipelines".

  pipelines:
    - name: orders
      description: what leaves the shop
      stages:
        - module: normalize@1.2.0
        - module: redact
          config: { fields: [email, phone] }
          on_failure: drop            # or fail (default), pass, dead_letter
          instances: fresh            # or reuse (default)
          limits: { record_timeout_ms: 500ms, memory_bytes: 16MiB }

The pipelines are applied one after the other, in order; the first that the server refuses ends the command,
and those before it stay. One that is stored already just so is left as it is.

Examples:
  leat pipeline apply pipelines.yaml --dry-run
  leat pipeline apply pipelines.yaml
  leat pipeline apply orders.yaml --expect 3
  leat pipeline show orders | leat pipeline apply -`;

/** Adds `pipeline apply`. */
export function addApplyCommand(pipeline: Command): void {
  pipeline
    .command("apply <FILE>")
    .description("store the pipelines of a file (- for stdin), in place of those with the same names")
    .option("--dry-run", "check them and show what would change, and change nothing")
    .addOption(
      new Option(
        "--expect <N>",
        "refuse unless this revision serves, 0 for none: for one pipeline",
      ).argParser((text) => (text === "0" ? 0 : readRevision(text))),
    )
    .addOption(addressOption())
    .addHelpText("after", help)
    .action(apply);
}

interface ApplyOptions {
  readonly dryRun?: boolean;
  readonly expect?: number;
}

async function apply(file: string, options: ApplyOptions, command: Command): Promise<void> {
  const source = file === "-" ? await text(process.stdin) : await readFile(file, "utf8");
  const { parsePipelines } = await import("../../config/pipelines-file.ts");
  const pipelines = parsePipelines(source, file === "-" ? "stdin" : file);
  if (options.expect !== undefined && pipelines.length > 1)
    throw usageError(`--expect is for one pipeline, and ${file} has ${pipelines.length}`);
  await withLeat(command, async (leat) => {
    const { Code, LeatCallError } = await import("@leat/sdk");
    for (const pipeline of pipelines) {
      try {
        await print(await applyOne(leat, pipeline, options));
      } catch (error) {
        if (error instanceof LeatCallError && error.code === Code.Unavailable) throw error;
        throw new CommandError(`${await describeError(error)} (pipeline ${pipeline.name} of ${file})`);
      }
    }
  });
}

/** Applies a pipeline, or tells what that would change. @returns what to print */
async function applyOne(leat: Leat, pipeline: PipelineInput, options: ApplyOptions): Promise<string> {
  const validateOnly = options.dryRun === true;
  const serving = validateOnly ? await servingPipeline(leat, pipeline.name ?? "") : undefined;
  const { expect: expectedRevision } = options;
  const put = { pipeline, validateOnly, ...(expectedRevision !== undefined && { expectedRevision }) };
  const { pipeline: stored, unchanged } = await leat.pipelines.putPipeline(put);
  const name = printable(pipeline.name ?? "");
  if (unchanged) return `unchanged ${name}, revision ${stored?.revision}\n`;
  if (!validateOnly) return `applied ${name}, revision ${stored?.revision}\n`;
  const { PipelineSchema } = await import("@leat/sdk");
  const { create } = await import("@bufbuild/protobuf");
  const from = serving === undefined ? "new" : `from revision ${serving.revision}`;
  return `would apply ${name}, ${from}\n${await difference(serving, create(PipelineSchema, pipeline))}`;
}

async function servingPipeline(leat: Leat, name: string): Promise<Pipeline | undefined> {
  const { Code, LeatCallError } = await import("@leat/sdk");
  try {
    return (await leat.pipelines.getPipeline({ name })).pipeline;
  } catch (error) {
    if (error instanceof LeatCallError && error.code === Code.NotFound) return undefined;
    throw error;
  }
}
