/**
 * `leat pipeline apply`.
 *
 * @module
 */

import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import type { Command } from "commander";
import { withLeat } from "../connection.ts";
import { CommandError, describeError } from "../failure.ts";
import { addressOption } from "../options.ts";
import { print } from "../text-table.ts";

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
and those before it stay.

Examples:
  leat pipeline apply pipelines.yaml
  leat pipeline show orders | leat pipeline apply -`;

/** Adds `pipeline apply`. */
export function addApplyCommand(pipeline: Command): void {
  pipeline
    .command("apply <FILE>")
    .description("store the pipelines of a file (- for stdin), in place of those with the same names")
    .addOption(addressOption())
    .addHelpText("after", help)
    .action(apply);
}

async function apply(file: string, _options: object, command: Command): Promise<void> {
  const source = file === "-" ? await text(process.stdin) : await readFile(file, "utf8");
  const { parsePipelines } = await import("../../config/pipelines-file.ts");
  const pipelines = parsePipelines(source, file === "-" ? "stdin" : file);
  await withLeat(command, async (leat) => {
    const { Code, LeatCallError } = await import("@leat/sdk");
    for (const pipeline of pipelines) {
      try {
        const { pipeline: stored } = await leat.pipelines.putPipeline({ pipeline });
        await print(`applied ${pipeline.name}, revision ${stored?.revision}\n`);
      } catch (error) {
        if (error instanceof LeatCallError && error.code === Code.Unavailable) throw error;
        throw new CommandError(`${await describeError(error)} (pipeline ${pipeline.name} of ${file})`);
      }
    }
  });
}
