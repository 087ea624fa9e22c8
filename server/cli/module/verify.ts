/**
 * `leat module verify`.
 *
 * @module
 */

import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { Command } from "commander";
import type { TrustedKey, Verdict } from "../../signing/verify-module.ts";
import { CommandError, usageError } from "../failure.ts";
import { collect } from "../options.ts";
import { print } from "../text-table.ts";

interface VerifyOptions {
  readonly key?: string[];
  readonly keys?: string;
  readonly signature?: string;
}

const help = `
Exits with 0 when one of the keys has signed the whole module as it is, else with 1 and the reason. A key is wasmsign2's file, PEM, DER, or a file with ssh-ed25519 AAAA….

Examples:
  leat module verify redact.wasm --key release-2026.pk
  leat module verify redact.wasm --key new.pk --key old.pk --signature redact.wasm.sig
  leat module verify redact.wasm --keys signing-keys.yaml`;

/** Adds `module verify`. */
export function addVerifyCommand(module: Command): void {
  module
    .command("verify <FILE>")
    .description("say by which key a module's file was signed")
    .option("-k, --key <FILE>", "a public key; may be repeated", collect)
    .option("--keys <FILE>", "a list of keys as servers have it; each counts for its time only")
    .option("--signature <FILE>", "the detached signature")
    .addHelpText("after", help)
    .action(verify);
}

async function verify(file: string, options: VerifyOptions): Promise<void> {
  const { shownKeyId } = await import("../../signing/keys.ts");
  const { verifyModule } = await import("../../signing/verify-module.ts");
  const { defaultLimits } = await import("../../limits.ts");
  const { signature } = options;
  const keys = await keysOf(options);
  const { verdict } = await verifyModule({
    wasm: await readFile(file),
    detached: signature === undefined ? undefined : await readFile(signature),
    keys,
    atMs: Date.now(),
    limits: defaultLimits,
  });
  if (verdict.t !== "signed") throw new CommandError(`${file} ${problemOf(verdict)}`);
  await print(`${file} is signed by ${verdict.key.name} (${shownKeyId(verdict.key.key.id)})\n`);
}

async function keysOf({ key: paths = [], keys: list }: VerifyOptions): Promise<TrustedKey[]> {
  if (paths.length === 0 && list === undefined) throw usageError("give --key or --keys");
  const { readPublicKey } = await import("../../signing/keys.ts");
  const keys: TrustedKey[] = [];
  for (const name of paths) {
    const bytes = await readFile(name);
    try {
      const key = readPublicKey(bytes);
      keys.push({ name, key, notBeforeMs: undefined, notAfterMs: undefined, revoked: false });
    } catch (error) {
      throw new CommandError(`${name} ${(error as Error).message}`);
    }
  }
  if (list === undefined) return keys;
  const { SignaturePolicy } = await import("../../signing/signature-policy.ts");
  const { defaultLimits } = await import("../../limits.ts");
  const policy = new SignaturePolicy({ mode: "require", keysFile: resolve(list) }, defaultLimits);
  return [...keys, ...policy.keys];
}

/** What is wrong with a module's signature, after the file's name. */
function problemOf(verdict: Exclude<Verdict, { t: "signed" }>): string {
  switch (verdict.t) {
    case "unsigned":
      return "has no signature";
    case "malformed":
      return `has a signature that cannot be read: ${verdict.problem}`;
    case "invalid":
      return `has a wrong signature in the name of ${verdict.key.name}: ${verdict.problem}`;
    case "unknown-key":
      return `is signed by none of these keys (signatures: ${verdict.keyIds.join(", ")})`;
    case "key-refused":
      return `is signed by ${verdict.key.name}, which ${verdict.problem}`;
  }
}
