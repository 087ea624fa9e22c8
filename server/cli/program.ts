/**
 * The `leat` command: its subcommands, its help, and what it exits with.
 *
 * @module
 */

import { Command } from "commander";
import { serverVersion } from "../version.ts";
import { exitCodes, reportFailure } from "./failure.ts";
import { addCredentialOptions, addressOption } from "./options.ts";

const help = `
Exit codes: 0 done, 1 failed, 2 the command or a configuration is written wrong.
Data goes to stdout, everything else to stderr.

Examples:
  leat serve --modules modules --pipelines pipelines.yaml
  leat module load uppercase.wasm --version 1.0.0
  leat transform --pipeline orders orders.ndjson >clean.ndjson
  leat run uppercase.wasm --format lines <in.txt >out.txt`;

/** Adds a subcommand, or a group of them, to the command. */
type Add = (program: Command, args: readonly string[]) => void | Promise<void>;

const backup = async (): Promise<Add> => (await import("./backup.ts")).addBackupCommands;

/** How each subcommand is loaded, in the order in which help shows them. */
const subcommands: Readonly<Record<string, () => Promise<Add>>> = {
  serve: async () => (await import("./serve.ts")).addServeCommand,
  module: async () => (await import("./module/commands.ts")).addModuleCommands,
  rollout: async () => (await import("./rollout/commands.ts")).addRolloutCommands,
  pipeline: async () => (await import("./pipeline/commands.ts")).addPipelineCommands,
  "dead-letters": async () => (await import("./dead-letters/commands.ts")).addDeadLetterCommands,
  audit: async () => (await import("./audit/commands.ts")).addAuditCommands,
  config: async () => (await import("./config/commands.ts")).addConfigCommands,
  transform: async () => (await import("./transform.ts")).addTransformCommand,
  run: async () => (await import("./run.ts")).addRunCommand,
  bench: async () => (await import("./bench.ts")).addBenchCommand,
  health: async () => (await import("./health.ts")).addHealthCommand,
  backup,
  restore: backup,
  token: async () => (await import("./token.ts")).addTokenCommand,
};

/** What the arguments name first: all options before a subcommand have a value, but for those that end the command themselves. */
function firstName(args: readonly string[]): string {
  for (let at = 0; at < args.length; at++) {
    const arg = args[at] ?? "";
    if (!arg.startsWith("-")) return arg;
    if (!arg.includes("=")) at++;
  }
  return "";
}

/** Puts the command together: of the subcommands the one that the arguments name, or all, where that is for help to tell. */
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
  const name = firstName(args);
  const named = Object.hasOwn(subcommands, name) ? subcommands[name] : undefined;
  for (const load of named === undefined ? new Set(Object.values(subcommands)) : [named]) {
    await (await load())(program, args);
  }
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
