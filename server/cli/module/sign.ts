/**
 * `leat module sign`.
 *
 * @module
 */

import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import { CommandError } from "../failure.ts";
import { print } from "../text-table.ts";
import { replaceFile } from "./replace-file.ts";

interface SignOptions {
  readonly key: string;
  readonly output?: string;
  readonly detached?: boolean;
}

const help = `
The signature is a section at the module's beginning, as the WebAssembly tool conventions have it and wasmsign2 writes
it; one that is there already stays beside it. The module's digest changes with it. --detached leaves the module alone
and writes FILE.sig, which "leat module load" sends along, and "leat serve --modules" reads beside FILE. The server
looks at signatures where its configuration has signatures.policy.

The key is NAME.sk of "leat module keygen" or wasmsign2, or PEM.

Examples:
  leat module sign redact.wasm --key release-2026.sk
  leat module sign redact.wasm --key release-2026.sk --detached`;

/** Adds `module sign`. */
export function addSignCommand(module: Command): void {
  module
    .command("sign <FILE>")
    .description("sign a module's file")
    .requiredOption("-k, --key <FILE>", "the secret key")
    .option("-o, --output <FILE>", "where to write (default: the module's file; with --detached, FILE.sig)")
    .option("--detached", "write the signature beside the module")
    .addHelpText("after", help)
    .action(sign);
}

async function sign(file: string, { key, output, detached = false }: SignOptions): Promise<void> {
  const { readSecretKey, shownKeyId } = await import("../../signing/keys.ts");
  const { signDetached, signModule } = await import("../../signing/sign-module.ts");
  const { defaultLimits } = await import("../../limits.ts");
  const wasm = await readFile(file);
  const keyBytes = await readFile(key);
  const secret = await named(key, async () => readSecretKey(keyBytes));
  const signed = await named(file, () =>
    detached ? signDetached(wasm, secret, defaultLimits) : signModule(wasm, secret, defaultLimits),
  );
  const to = output ?? (detached ? `${file}.sig` : file);
  await replaceFile(to, signed);
  await print(`signed ${file} with ${shownKeyId(secret.public.id)}: wrote ${to}\n`);
}

/** Says of which file it is that something is wrong. */
async function named<T>(file: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    throw new CommandError(`${file}: ${(error as Error).message}`);
  }
}
