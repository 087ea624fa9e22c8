/**
 * Keys and signed modules for tests, as wasmsign2 made them.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { generateKey, readSecretKey, type SecretKey, writePublicKey } from "../../server/signing/keys.ts";
import type { TrustedKey } from "../../server/signing/verify-module.ts";

const names = [
  "secretA",
  "publicA",
  "secretB",
  "publicB",
  "unsigned",
  "signed",
  "signedWithoutKeyId",
  "signedTwice",
  "split",
  "signedSplit",
  "detached",
] as const;

/** What wasmsign2 wrote: `madeWith` in the file says how. */
export const vectors = readVectors();

function readVectors(): Readonly<Record<(typeof names)[number], Uint8Array>> {
  const file = new URL("../vectors/wasmsign2.json", import.meta.url);
  const texts = JSON.parse(readFileSync(file, "utf8")) as Record<string, string>;
  const read = names.map((name) => [name, new Uint8Array(Buffer.from(texts[name] ?? "", "base64"))] as const);
  return Object.fromEntries(read) as Record<(typeof names)[number], Uint8Array>;
}

/** The keys that signed the vectors. */
export const secretA: SecretKey = readSecretKey(vectors.secretA);
export const secretB: SecretKey = readSecretKey(vectors.secretB);

/** A key that no list has. */
export const strangersKey: SecretKey = generateKey();

/** A key as it stands in a list. */
export function trusted(
  name: string,
  key: SecretKey,
  rest: Partial<Pick<TrustedKey, "notBeforeMs" | "notAfterMs" | "revoked">> = {},
): TrustedKey {
  return { name, key: key.public, notBeforeMs: undefined, notAfterMs: undefined, revoked: false, ...rest };
}

/** A key for the list of a server. */
export interface ListedKey {
  readonly name: string;
  readonly key: SecretKey;
  readonly notBefore?: string;
  readonly notAfter?: string;
  readonly revoked?: boolean;
}

/** Writes the list of keys that a server trusts: every other one in a file of its own, the rest in the list itself. */
export async function writeKeyList(folder: string, keys: readonly ListedKey[]): Promise<string> {
  const lines = keys.map(async ({ name, key, ...rest }, at) => {
    const inline = at % 2 === 1;
    const bytes = writePublicKey(key.public, "raw");
    if (!inline) await writeFile(join(folder, `${name}.pk`), bytes);
    const source = inline ? { key: Buffer.from(bytes).toString("base64") } : { file: `${name}.pk` };
    return `  - ${JSON.stringify({ name, ...source, ...rest })}\n`;
  });
  const path = join(folder, "signing-keys.yaml");
  await writeFile(path, `keys:\n${(await Promise.all(lines)).join("")}`);
  return path;
}
