/**
 * `leat config check`.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import { relative } from "node:path";
import type { Command } from "commander";
import { ConfigError, type ConfigProblem } from "../../config/config-error.ts";
import { CommandError } from "../failure.ts";
import { print } from "../text-table.ts";

const help = `
Says what is wrong with leat.yaml, or with the FILE, as "leat serve" would in this environment, LEAT_* variables
included; with the access file and the file of pipelines that it names; all mistakes at once, with line and column.

Exit codes: 0 no mistakes, 1 a file cannot be read, 2 mistakes.

Examples:
  leat config check
  leat config check deploy/leat.yaml --pipelines deploy/pipelines.yaml`;

/** Adds `config check`. */
export function addCheckCommand(config: Command): void {
  config
    .command("check")
    .description("say what is wrong with a configuration, without a server")
    .argument("[FILE]", "the configuration (default: LEAT_CONFIG, else leat.yaml in this folder)")
    .option(
      "--pipelines <FILE>",
      "a file of pipelines to check in place of the one that the configuration names",
    )
    .addHelpText("after", help)
    .action(check);
}

async function check(file: string | undefined, options: { pipelines?: string }): Promise<void> {
  const { resolveConfig } = await import("../../config/resolve.ts");
  const { parseAccessFile } = await import("../../config/access-file.ts");
  const { parsePipelines } = await import("../../config/pipelines-file.ts");
  const problems: ConfigProblem[] = [];
  const checked: string[] = [];
  /** Gathers what is wrong, and goes on. */
  function gather<T>(run: () => T): T | undefined {
    try {
      return run();
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      problems.push(...error.problems);
      return undefined;
    }
  }
  if (file !== undefined) read(file);
  const resolved = gather(() => resolveConfig({ file, env: process.env, flags: {} }));
  if (resolved?.file !== undefined) checked.push(shown(resolved.file));
  const access = resolved?.accessFile;
  if (access !== undefined) {
    gather(() => parseAccessFile(read(access), shown(access)));
    checked.push(shown(access));
  }
  const pipelines = options.pipelines ?? resolved?.pipelinesFile;
  if (pipelines !== undefined) {
    gather(() => parsePipelines(read(pipelines), shown(pipelines), resolved?.limits));
    checked.push(shown(pipelines));
  }
  if (problems.length > 0) throw new ConfigError(problems);
  for (const warning of resolved?.warnings ?? []) process.stderr.write(`leat: ${warning}\n`);
  await print(`no mistakes in ${checked.join(", ") || "the environment; there is no leat.yaml"}\n`);
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new CommandError(`${shown(path)} cannot be read: ${(error as Error).message}`);
  }
}

/** The path as the operator would write it. */
function shown(path: string): string {
  const fromHere = relative("", path);
  return fromHere.startsWith("..") ? path : fromHere;
}
