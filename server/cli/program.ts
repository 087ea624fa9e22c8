/**
 * The `leat` command: its subcommands, its help, and what it exits with.
 *
 * @module
 */

import { Command } from "commander";
import { serverVersion } from "../version.ts";
import { addAuditCommands } from "./audit/commands.ts";
import { addBackupCommands } from "./backup.ts";
import { addBenchCommand } from "./bench.ts";
import { addConfigCommands } from "./config/commands.ts";
import { addDeadLetterCommands } from "./dead-letters/commands.ts";
import { exitCodes, reportFailure } from "./failure.ts";
import { addHealthCommand } from "./health.ts";
import { addModuleCommands } from "./module/commands.ts";
import { addCredentialOptions, addressOption } from "./options.ts";
import { addPipelineCommands } from "./pipeline/commands.ts";
import { addRolloutCommands } from "./rollout/commands.ts";
import { addRunCommand } from "./run.ts";
import { addServeCommand } from "./serve.ts";
import { addTokenCommand } from "./token.ts";
import { addTransformCommand } from "./transform.ts";

const help = `
Exit codes: 0 done, 1 failed, 2 the command or a configuration is written wrong.
Data goes to stdout, everything else to stderr.

Examples:
  leat serve --modules modules --pipelines pipelines.yaml
  leat module load uppercase.wasm --version 1.0.0
  leat transform --pipeline orders orders.ndjson >clean.ndjson
  leat run uppercase.wasm --format lines <in.txt >out.txt`;

/** Puts the command together. What only one subcommand needs is loaded when the arguments name it. */
export async function leatCommand(args: readonly string[]): Promise<Command> {
  const program = new Command("leat")
    .description("Runs sandboxed WebAssembly modules over streams of records.")
    .version(serverVersion, "--version", "show the version")
    .helpOption("-h, --help", "show help")
    .addOption(addressOption())
    .enablePositionalOptions()
    .showHelpAfterError("(add --help for what is allowed)")
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, "leat: ")) })
    .addHelpText("after", help);
  addCredentialOptions(program);
  await addServeCommand(program, args);
  addModuleCommands(program);
  addRolloutCommands(program);
  addPipelineCommands(program);
  addDeadLetterCommands(program);
  addAuditCommands(program);
  addConfigCommands(program);
  addTransformCommand(program);
  addRunCommand(program);
  addBenchCommand(program);
  addHealthCommand(program);
  addBackupCommands(program);
  addTokenCommand(program);
  return program;
}

/**
 * Runs the command, and tells on stderr what went wrong.
 *
 * @param args - what follows the command's name
 * @returns the exit code
 */
export async function runCommand(args: readonly string[]): Promise<number> {
  try {
    const program = await leatCommand(args);
    await program.parseAsync(args, { from: "user" });
    return exitCodes.ok;
  } catch (error) {
    return reportFailure(error);
  }
}
