/**
 * What a command exits with when it fails, and the line that says why.
 *
 * @module
 */

import { CommanderError } from "commander";
import { ConfigError } from "../config/config-error.ts";
import { LeatError } from "../errors.ts";

/** What the command exits with. */
export const exitCodes = {
  /** It did what it was told. */
  ok: 0,
  /** It could not, or not for every record. */
  failed: 1,
  /** The command line or a configuration is written wrong. */
  usage: 2,
} as const;

/** A failure that already knows its words. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  /** What the process exits with. */
  readonly exitCode: number;

  /** @param message - `REASON: message`, or the message alone; empty when all was said */
  constructor(message: string, exitCode: number = exitCodes.failed) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** A failure that an option's or an argument's value causes. */
export function usageError(message: string): CommandError {
  return new CommandError(message, exitCodes.usage);
}

/** What to do about an error, by its reason. */
const advice: Readonly<Record<string, string>> = {
  MODULE_NOT_FOUND: '"leat module list" shows what is loaded',
  MODULE_VERSION_CHANGED: '"leat module history" tells what was active when',
  PIPELINE_NOT_FOUND: '"leat pipeline list" shows what is stored',
  PIPELINE_REVISION_NOT_FOUND: '"leat pipeline history" shows what is kept',
  PIPELINE_REVISION_CHANGED: '"leat pipeline history" tells by whom',
  DEAD_LETTER_NOT_FOUND: '"leat dead-letters list" shows what is kept',
  AUDIT_ENTRY_NOT_FOUND: '"leat audit list" shows what is kept',
  MODULE_INIT_FAILED: "give it a configuration that it takes",
  MODULE_UNSIGNED: '"leat module sign" signs it; --signature gives the signature that lies beside it',
  MODULE_SIGNER_UNKNOWN: "sign it with a key of the server's list, or add its key there",
  MODULE_QUARANTINED: '"leat module release" ends that, and so does another version',
  CREDENTIALS_MISSING: "give --token-file or LEAT_TOKEN, or a client certificate, before the subcommand",
  CREDENTIALS_EXPIRED: "get a fresh token",
  CONFIG_INVALID: '"leat config check" looks at a file without a server',
  QUEUE_FULL: "try again later, or with fewer streams",
  DRAINING: "try again when it is back",
};

/** Tells what went wrong, on stderr. @returns the exit code */
export async function reportFailure(error: unknown): Promise<number> {
  if (error instanceof CommanderError) {
    // Commander has written already. It "fails" after `--help` and `--version`, too.
    return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  }
  if (error instanceof CommandError) {
    writeError(error.message);
    return error.exitCode;
  }
  if (error instanceof ConfigError) {
    for (const line of error.message.split("\n")) writeError(line);
    return exitCodes.usage;
  }
  writeError(await describeError(error));
  return exitCodes.failed;
}

/** An error in one line: `REASON: message; what to do`. */
export async function describeError(error: unknown): Promise<string> {
  if (error instanceof LeatError) return line(error.reason, error.message);
  if (!(error instanceof Error)) return String(error);
  if (error.name === "LeatCallError") {
    // Loaded already: it is where the error comes from.
    const { Code, LeatCallError } = await import("@leat/sdk");
    if (error instanceof LeatCallError) {
      const code = Code[error.code].replaceAll(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase();
      return line(error.reason || code, error.message);
    }
  }
  return error.message;
}

function line(reason: string, message: string): string {
  const todo = advice[reason];
  return `${reason}: ${message}${todo === undefined ? "" : `; ${todo}`}`;
}

function writeError(message: string): void {
  if (message !== "") process.stderr.write(`leat: ${message.replaceAll(/\s*\n\s*/g, " ")}\n`);
}
