/**
 * `leat module keygen`.
 *
 * @module
 */

import { writeFile } from "node:fs/promises";
import type { Command } from "commander";
import { CommandError } from "../failure.ts";
import { print } from "../text-table.ts";

const help = `
Writes NAME.sk, which signs and which nobody else may read, and NAME.pk, which goes into signatures.keys of leat.yaml.
The files are wasmsign2's; with --pem they are PEM, as OpenSSL has them. Files that are there already stay.

Examples:
  leat module keygen release-2026
  leat module keygen release-2026 --pem`;

/** Adds `module keygen`. */
export function addKeygenCommand(module: Command): void {
  module
    .command("keygen <NAME>")
    .description("make a key that signs modules (Ed25519)")
    .option("--pem", "write PEM")
    .addHelpText("after", help)
    .action(keygen);
}

async function keygen(name: string, { pem = false }: { pem?: boolean }): Promise<void> {
  const { generateKey, shownKeyId, writePublicKey, writeSecretKey } = await import("../../signing/keys.ts");
  const key = generateKey();
  const form = pem ? "pem" : "raw";
  await writeNew(`${name}.sk`, writeSecretKey(key, form), 0o600);
  await writeNew(`${name}.pk`, writePublicKey(key.public, form), 0o644);
  await print(`wrote ${name}.sk and ${name}.pk (identifier ${shownKeyId(key.public.id)})\n`);
}

/** Writes a file that is not there yet: a key that is overwritten is lost. */
async function writeNew(path: string, bytes: Uint8Array, mode: number): Promise<void> {
  try {
    await writeFile(path, bytes, { mode, flag: "wx" });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    throw new CommandError(`${path} is there already, and stays`);
  }
}
