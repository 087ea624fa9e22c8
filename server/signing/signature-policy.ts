/**
 * What the server asks of modules' signatures, and by whom.
 *
 * @module
 */

import { readFileSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { ConfigError, type ConfigProblem } from "../config/config-error.ts";
import { parseSigningKeys, type SignatureMode, type SigningKeyEntry } from "../config/signing-keys.ts";
import { type LeatError, leatError } from "../errors.ts";
import type { Limits } from "../limits.ts";
import { KeyError, maxKeyFileBytes, type PublicKey, readPublicKey } from "./keys.ts";
import type { TrustedKey, Verdict } from "./verify-module.ts";

/** How signatures are asked for. */
export interface SignatureOptions {
  readonly mode: SignatureMode;
  /** The list of keys whose signatures count, absolute; undefined for none. */
  readonly keysFile: string | undefined;
}

/** Looks at no signature. */
export const noSignatures: SignatureOptions = { mode: "off", keysFile: undefined };

/** The policy in force. The keys are read again by {@link SignaturePolicy.reload}. */
export class SignaturePolicy {
  readonly #limits: Pick<Limits, "maxSigningKeys">;
  #options: SignatureOptions = noSignatures;
  #keys: readonly TrustedKey[] = [];
  #files: readonly string[] = [];

  /** @throws ConfigError when the keys cannot be used */
  constructor(options: SignatureOptions, limits: Pick<Limits, "maxSigningKeys">) {
    this.#limits = limits;
    this.use(options);
  }

  /** What is asked of modules. */
  get mode(): SignatureMode {
    return this.#options.mode;
  }

  /** The keys whose signatures count. */
  get keys(): readonly TrustedKey[] {
    return this.#keys;
  }

  /** The list and the files that it names. */
  get files(): readonly string[] {
    return this.#files;
  }

  /** Puts another policy in force. One whose keys cannot be used changes nothing. @throws ConfigError */
  use(options: SignatureOptions): void {
    this.read(options)();
  }

  /**
   * Reads the keys of another policy.
   *
   * @returns a function that puts it in force, which cannot fail
   * @throws ConfigError when they cannot be used
   */
  read(options: SignatureOptions): () => void {
    const { keysFile } = options;
    const list = keysFile === undefined ? undefined : readKeyList(keysFile, this.#limits.maxSigningKeys);
    const keys = list?.keys() ?? [];
    return () => {
      this.#keys = keys;
      this.#files = list?.files ?? [];
      this.#options = options;
    };
  }

  /** Reads the keys again. What cannot be used changes nothing. @throws ConfigError */
  reload(): void {
    const { keysFile } = this.#options;
    if (keysFile === undefined) return;
    const { files, keys } = readKeyList(keysFile, this.#limits.maxSigningKeys);
    // Known before they are read: one that is missing now may be there later.
    this.#files = files;
    this.#keys = keys();
  }
}

/** What a list names, and the keys when the files of it are read. @throws ConfigError */
function readKeyList(path: string, maxSigningKeys: number): { files: string[]; keys: () => TrustedKey[] } {
  const entries = parseSigningKeys(readList(path), path, maxSigningKeys);
  const named = entries.flatMap(({ source }) => ("file" in source ? [fileOf(path, source.file)] : []));
  return { files: [path, ...named], keys: () => readKeys(entries, path) };
}

function readList(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const problem = `cannot be read: ${(error as Error).message}`;
    throw new ConfigError([{ where: path, key: "", problem }]);
  }
}

function fileOf(list: string, file: string): string {
  return resolve(dirname(list), file);
}

function readKeys(entries: readonly SigningKeyEntry[], list: string): TrustedKey[] {
  const problems: ConfigProblem[] = [];
  const keys: TrustedKey[] = [];
  for (const entry of entries) {
    const wrong = (problem: string): void => {
      problems.push({ where: list, key: entry.place, problem });
    };
    const key = readKey(entry, list);
    const twin = typeof key === "string" ? undefined : keys.find((other) => isSame(other.key, key));
    if (typeof key === "string") wrong(key);
    else if (twin !== undefined) wrong(`is the same key as ${twin.name}`);
    else {
      const { name, notBeforeMs, notAfterMs, revoked } = entry;
      keys.push({ name, key, notBeforeMs, notAfterMs, revoked });
    }
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return keys;
}

function isSame(one: PublicKey, other: PublicKey): boolean {
  return Buffer.compare(one.bytes, other.bytes) === 0;
}

/** The key, or what is wrong with it. */
function readKey({ source }: SigningKeyEntry, list: string): PublicKey | string {
  try {
    return "file" in source
      ? readKeyFile(fileOf(list, source.file))
      : readPublicKey(Buffer.from(source.inline));
  } catch (error) {
    const what = "file" in source ? source.file : "key";
    if (error instanceof KeyError) return `${what} ${error.message}`;
    return `${what} cannot be read: ${(error as Error).message}`;
  }
}

function readKeyFile(path: string): PublicKey {
  const { size } = statSync(path);
  if (size > maxKeyFileBytes) throw new KeyError(`has ${size} bytes, which are too many for a key`);
  return readPublicKey(readFileSync(path));
}

/** The error that tells what is wrong with a module's signature. */
export function refusal(module: string, verdict: Exclude<Verdict, { t: "signed" }>): LeatError {
  switch (verdict.t) {
    case "unsigned":
      return leatError("MODULE_UNSIGNED", { module });
    case "malformed":
      return leatError("MODULE_SIGNATURE_MALFORMED", { module, problem: verdict.problem });
    case "invalid":
      return leatError("MODULE_SIGNATURE_INVALID", {
        module,
        key: verdict.key.name,
        problem: verdict.problem,
      });
    case "unknown-key":
      return leatError("MODULE_SIGNER_UNKNOWN", { module, keys: verdict.keyIds.join(", ") });
    case "key-refused":
      return leatError("MODULE_SIGNER_REFUSED", { module, key: verdict.key.name, problem: verdict.problem });
  }
}
