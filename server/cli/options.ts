/**
 * Options that several subcommands have, and how their values are read.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import { type Command, InvalidArgumentError, Option } from "commander";
import type { Kind } from "../config/kinds.ts";
import { usageError } from "./failure.ts";

/** Reads an option's value as configuration values are read, as in `64KiB` and `10s`. */
export function readAs<T>(kind: Kind<T>): (text: string) => T {
  return (text) => {
    const value = kind.parse(text);
    if (value === undefined) throw new InvalidArgumentError(`Give ${kind.allowed}.`);
    return value;
  };
}

/** Gathers what an option that may be repeated is given. */
export function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}

/** `--address`, which stands before a subcommand or after it. */
export function addressOption(): Option {
  return new Option(
    "--address <HOST:PORT>",
    "the server to talk to; several with commas between them (default: LEAT_ADDRESS, else 127.0.0.1:7070)",
  );
}

/** The address that a subcommand was given: its own option, the one before it, or the variable. */
export function addressOf(command: Command): string | undefined {
  for (let at: Command | null = command; at !== null; at = at.parent) {
    const { address } = at.opts<{ address?: string }>();
    if (address !== undefined) return address;
  }
  return process.env["LEAT_ADDRESS"] || undefined;
}

/** `--json`, for programs. */
export function jsonOption(): Option {
  return new Option("--json", "print JSON");
}

/** `--config`, a module's configuration. */
export function configOption(purpose: string): Option {
  return new Option("--config <JSON>", `${purpose}; @FILE reads it from a file`);
}

/**
 * Reads a module's configuration.
 *
 * @returns the JSON text; empty when none was given
 * @throws CommandError when it is no JSON object
 */
export function readConfigOption(given: string | undefined): string {
  if (given === undefined) return "";
  const text = given.startsWith("@") ? readFileSync(given.slice(1), "utf8") : given;
  const where = given.startsWith("@") ? given.slice(1) : "--config";
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new SyntaxError("a JSON object is needed");
    }
  } catch (error) {
    throw usageError(`${where}: ${(error as Error).message}`);
  }
  return text;
}
