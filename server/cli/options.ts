/**
 * Options that several subcommands have, and how their values are read.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import type { TlsOptions } from "@leat/sdk";
import { type Command, InvalidArgumentError, Option } from "commander";
import { type Kind, time } from "../config/kinds.ts";
import { usageError } from "./failure.ts";

/** Reads an option's value as configuration values are read, as in `64KiB` and `10s`. */
export function readAs<T>(kind: Kind<T>): (text: string) => T {
  return (text) => {
    const value = kind.parse(text);
    if (value === undefined) throw new InvalidArgumentError(`Give ${kind.allowed}.`);
    return value;
  };
}

const ago = time(0);

/** Reads a point in time: a date, or how long ago. @returns milliseconds since the Unix epoch */
export function readTime(text: string): number {
  const agoMs = /^\d+$/.test(text) ? undefined : ago.parse(text);
  const atMs = agoMs === undefined ? Date.parse(text) : Date.now() - agoMs;
  if (/^\d+$/.test(text) || Number.isNaN(atMs))
    throw new InvalidArgumentError(
      "Give a date such as 2026-01-31T12:00:00Z, or how long ago: 30s, 10m, 2h.",
    );
  return atMs;
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

/** How the command proves who it is, and whom it trusts: before the subcommand, or by variables. */
const credentialOptions = [
  [
    "--tls-ca <FILE>",
    "LEAT_CLIENT_CA",
    "connect with TLS, and trust the servers that these authorities vouch for",
  ],
  ["--tls-cert <FILE>", "LEAT_CLIENT_CERT", "connect with TLS, and show this certificate; needs --tls-key"],
  ["--tls-key <FILE>", "LEAT_CLIENT_KEY", "the certificate's private key"],
  [
    "--tls-server-name <NAME>",
    "LEAT_CLIENT_SERVER_NAME",
    "the name to expect in the server's certificate (default: the host of the address)",
  ],
  ["--token-file <FILE>", "LEAT_TOKEN_FILE", "a file that holds the token to show"],
  ["--token <TOKEN>", "LEAT_TOKEN", "the token to show; other accounts of this machine can read it here"],
] as const;

/** The options of {@link credentialsOf}. */
export function addCredentialOptions(program: Command): void {
  for (const [flags, variable, description] of credentialOptions) {
    program.addOption(new Option(flags, description).env(variable));
  }
}

/**
 * What the command was given to prove who it is.
 *
 * @throws CommandError when a token's file cannot be read
 */
export function credentialsOf(command: Command): { tls?: TlsOptions; token?: string } {
  const given =
    command.optsWithGlobals<
      Record<"tlsCa" | "tlsCert" | "tlsKey" | "tlsServerName" | "tokenFile" | "token", string>
    >();
  const tls = {
    ...(given.tlsCa && { ca: given.tlsCa }),
    ...(given.tlsCert && { cert: given.tlsCert }),
    ...(given.tlsKey && { key: given.tlsKey }),
    ...(given.tlsServerName && { serverName: given.tlsServerName }),
  };
  const token = given.tokenFile ? readToken(given.tokenFile) : given.token;
  return { ...(Object.keys(tls).length > 0 && { tls }), ...(token && { token }) };
}

function readToken(file: string): string {
  try {
    return readFileSync(file, "utf8").trim();
  } catch (error) {
    throw usageError(`--token-file: ${(error as Error).message}`);
  }
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
