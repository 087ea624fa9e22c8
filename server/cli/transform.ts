/**
 * `leat transform`.
 *
 * @module
 */

import type { Command } from "commander";
import { checkTarget, withLeat } from "./connection.ts";
import { addressOption } from "./options.ts";
import { addRecordOptions, formatHelp, type RecordOptions, transformOptions } from "./records/options.ts";
import { addTargetOptions, type TargetOptions, targetOf } from "./target.ts";

const help = `${formatHelp}

Examples:
  leat transform --pipeline orders orders.ndjson >clean.ndjson
  zcat log.gz | leat transform --module grep --module redact --format lines --failures bad.ndjson
  leat transform -p csv-in --format lines --output-format ndjson a.csv b.csv`;

/** Adds `transform`. */
export function addTransformCommand(program: Command): void {
  const command = program
    .command("transform [FILE...]")
    .description("run the records of files or stdin through a pipeline of a server");
  addTargetOptions(command);
  addRecordOptions(command).addOption(addressOption()).addHelpText("after", help).action(transform);
}

async function transform(
  files: readonly string[],
  options: TargetOptions & RecordOptions,
  command: Command,
): Promise<void> {
  const target = targetOf(options);
  await withLeat(command, async (leat) => {
    await checkTarget(leat, target);
    const { transformRecords } = await import("./records/transform-records.ts");
    await transformRecords(leat, target, transformOptions(files, options));
  });
}
