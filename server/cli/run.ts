/**
 * `leat run`: a module without a server.
 *
 * @module
 */

import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { type Command, Option } from "commander";
import { isName } from "../registry/names.ts";
import { parseModuleFileName } from "./module/file-name.ts";
import { configOption, readConfigOption } from "./options.ts";
import { addRecordOptions, formatHelp, type RecordOptions, transformOptions } from "./records/options.ts";

/** The levels of the log that can be asked for. */
const logChoices = ["debug", "info", "warn", "error", "silent"] as const;

const help = `
The module runs as in a server, with the default limits: in a worker thread of this process, which
talks to itself over a port of 127.0.0.1 that it takes for the time. What the module logs goes to stderr
from --log-level on.
${formatHelp}

Examples:
  leat run uppercase.wasm --format lines <in.txt >out.txt
  leat run redact.wasm --config '{"fields":["email"]}' orders.ndjson`;

interface RunOptions extends RecordOptions {
  readonly name?: string;
  readonly config?: string;
  readonly logLevel: (typeof logChoices)[number];
}

/** Adds `run`. */
export function addRunCommand(program: Command): void {
  const command = program
    .command("run <MODULE.wasm> [FILE...]")
    .description("run the records of files or stdin through a module, without a server")
    .option("--name <NAME>", "what the module is called in logs and failures; default: as its file")
    .addOption(configOption("the module's configuration"))
    .addOption(
      new Option("--log-level <LEVEL>", "what the module's log shows").choices(logChoices).default("warn"),
    );
  addRecordOptions(command).addHelpText("after", help).action(run);
}

async function run(path: string, files: readonly string[], options: RunOptions): Promise<void> {
  const configJson = readConfigOption(options.config);
  const wasm = await readFile(path);
  const [{ startServer }, { createLogger }, { Leat }, { transformRecords }] = await Promise.all([
    import("../server.ts"),
    import("../telemetry/logger.ts"),
    import("@leat/sdk"),
    import("./records/transform-records.ts"),
  ]);
  const { create } = await import("@bufbuild/protobuf");
  const { PipelineSchema } = await import("@leat/proto");
  const name = options.name ?? nameOf(path);
  await using server = await startServer({
    grpcAddress: "127.0.0.1:0",
    httpAddress: false,
    logger: createLogger({ level: options.logLevel }),
    prepare: async (registry) => {
      await registry.load({ name, version: "", wasm, sampleConfigJson: configJson, dryRun: false });
      const stages = [{ module: name, configJson }];
      await registry.revisions.put(create(PipelineSchema, { name, stages }));
    },
  });
  await using leat = new Leat(`127.0.0.1:${server.grpcPort}`);
  await transformRecords(leat, name, transformOptions(files, options));
}

/** What a module is called after its file: of a file whose name is none for a module, what is left of it, or `module`. */
function nameOf(path: string): string {
  const { name } = parseModuleFileName(basename(path));
  if (isName(name)) return name;
  return /[a-z0-9][a-z0-9._-]{0,63}/.exec(name.toLowerCase())?.[0] ?? "module";
}
