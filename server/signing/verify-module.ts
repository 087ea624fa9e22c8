/**
 * Says by whom a module was signed.
 *
 * A signature counts only where it covers the whole module, part by part: one that leaves parts out, or to which parts
 * were added, is none here.
 *
 * @module
 */

import { verify } from "node:crypto";
import { promisify } from "node:util";
import type { Limits } from "../limits.ts";
import { type PublicKey, shownKeyId } from "./keys.ts";
import { hashParts, modulePartsOf, type PartLimits } from "./module-parts.ts";
import {
  readSignatureData,
  type Signature,
  SignatureDataError,
  type SignedHashes,
  signedMessage,
} from "./signature-data.ts";

/** On Node's threads, not on this one. */
const verifyElsewhere: (
  algorithm: null,
  data: Uint8Array,
  key: PublicKey["key"],
  signature: Uint8Array,
) => Promise<boolean> = promisify(verify);

/** A key that may sign. */
export interface TrustedKey {
  /** What people call it. */
  readonly name: string;
  readonly key: PublicKey;
  /** From when it counts, in milliseconds since the Unix epoch; undefined for always. */
  readonly notBeforeMs: number | undefined;
  /** Until when it counts; undefined for ever. */
  readonly notAfterMs: number | undefined;
  /** A revoked key counts no more, whatever it signed and whenever. */
  readonly revoked: boolean;
}

/** The limits under which signatures are looked at. */
export type SignatureLimits = PartLimits & Pick<Limits, "maxSignatures" | "maxSignatureBytes">;

/** What a module has of signatures. It can be judged again when the keys have changed, without the module. */
export type Evidence =
  | { readonly t: "unsigned" }
  | { readonly t: "malformed"; readonly problem: string }
  | {
      readonly t: "signed";
      /** The hashes of the module's parts, one after the other. */
      readonly hashes: Uint8Array;
      readonly sets: readonly SignedHashes[];
      /** Whether the signatures lay beside the module. */
      readonly detached: boolean;
    };

/** What became of one signature. */
export type Finding =
  /** A key that counts has signed the module as it is. */
  | { readonly t: "signed"; readonly key: TrustedKey }
  /** A known key has signed it as it is, and does not count. */
  | { readonly t: "key-refused"; readonly key: TrustedKey; readonly problem: string }
  /** A signature in the name of a known key is not right for this module. */
  | { readonly t: "invalid"; readonly key: TrustedKey; readonly problem: string }
  /** None of the keys is meant. The identifier is that of the signature, empty for one that names no key. */
  | { readonly t: "unknown-key"; readonly keyId: string; readonly problem: string };

/** What became of a module's signatures: the first of these that holds of any of them. */
export type Verdict =
  | Exclude<Finding, { t: "unknown-key" }>
  /** None of its signatures is by a known key. */
  | { readonly t: "unknown-key"; readonly keyIds: readonly string[] }
  | { readonly t: "malformed"; readonly problem: string }
  | { readonly t: "unsigned" };

/** What is said of a module. */
export interface Judgement {
  readonly verdict: Verdict;
  /** Of each signature; empty where there are none that can be read. */
  readonly findings: readonly Finding[];
}

/** What a module is verified with. */
export interface Verification {
  readonly wasm: Uint8Array;
  /** A signature that lies beside the module; undefined looks into the module itself. */
  readonly detached: Uint8Array | undefined;
  readonly keys: readonly TrustedKey[];
  /** The time for which it is asked, for keys that count for a while only. */
  readonly atMs: number;
  readonly limits: SignatureLimits;
}

/** Reads a module's signatures and judges them. @throws LeatError as {@link readEvidence} */
export async function verifyModule({ wasm, detached, keys, atMs, limits }: Verification): Promise<Judgement> {
  return judge(await readEvidence(wasm, detached, limits), keys, atMs);
}

/**
 * Reads what a module has of signatures. What is returned holds none of the module's bytes.
 *
 * @param detached - signatures that lie beside the module; undefined looks into the module itself
 * @throws LeatError MODULE_TOO_LARGE, MODULE_NOT_WASM, MODULE_MALFORMED, MODULE_LIMIT_EXCEEDED for what is no module to begin with
 */
export async function readEvidence(
  wasm: Uint8Array,
  detached: Uint8Array | undefined,
  limits: SignatureLimits,
): Promise<Evidence> {
  const { maxSignatures, maxSignatureBytes } = limits;
  try {
    const parts = modulePartsOf(wasm, limits);
    const { embedded } = parts;
    if (detached !== undefined && embedded !== undefined)
      throw new SignatureDataError("the module has a signature in itself and one beside it; give one");
    const data = detached ?? embedded;
    if (data === undefined) return { t: "unsigned" };
    if (data.length > maxSignatureBytes)
      throw new SignatureDataError(
        `it is too large: measured ${data.length}, the limit maxSignatureBytes is ${maxSignatureBytes}`,
      );
    const sets = readSignatureData(Uint8Array.from(data), maxSignatures);
    if (sets.every(({ signatures }) => signatures.length === 0))
      throw new SignatureDataError("it has no signatures");
    return { t: "signed", hashes: await hashParts(parts), sets, detached: detached !== undefined };
  } catch (error) {
    if (error instanceof SignatureDataError) return { t: "malformed", problem: error.message };
    throw error;
  }
}

/** Judges signatures by the keys that are known. */
export async function judge(
  evidence: Evidence,
  keys: readonly TrustedKey[],
  atMs: number,
): Promise<Judgement> {
  if (evidence.t !== "signed") return { verdict: evidence, findings: [] };
  const findings: Finding[] = [];
  for (const { hashes, signatures } of evidence.sets) {
    const whole = Buffer.compare(hashes, evidence.hashes) === 0;
    const message = signedMessage(hashes);
    for (const signature of signatures) findings.push(await find(signature, { message, whole, keys, atMs }));
  }
  const verdict =
    findings.find(({ t }) => t === "signed") ??
    findings.find(({ t }) => t === "key-refused") ??
    findings.find(({ t }) => t === "invalid");
  if (verdict !== undefined && verdict.t !== "unknown-key") return { verdict, findings };
  const keyIds = findings.flatMap((each) => (each.t === "unknown-key" ? [each.keyId || "no key"] : []));
  return { verdict: { t: "unknown-key", keyIds }, findings };
}

interface Question {
  /** What is signed. */
  readonly message: Uint8Array;
  /** Whether that is the whole module as it is. */
  readonly whole: boolean;
  readonly keys: readonly TrustedKey[];
  readonly atMs: number;
}

async function find(
  { keyId, signature }: Signature,
  { message, whole, keys, atMs }: Question,
): Promise<Finding> {
  if (signature === undefined)
    return { t: "unknown-key", keyId: shownKeyId(keyId), problem: "it is not an Ed25519 signature" };
  const named = keyId.length > 0;
  const candidates = named ? keys.filter(({ key }) => Buffer.compare(key.id, keyId) === 0) : keys;
  for (const candidate of candidates) {
    if (!(await verifyElsewhere(null, message, candidate.key.key, signature))) continue;
    if (!whole) {
      const problem = "the key signed other bytes, or only parts of the module";
      return { t: "invalid", key: candidate, problem };
    }
    const problem = refusalOf(candidate, atMs);
    if (problem === undefined) return { t: "signed", key: candidate };
    return { t: "key-refused", key: candidate, problem };
  }
  const [meant] = candidates;
  if (named && meant !== undefined)
    return { t: "invalid", key: meant, problem: "the signature is not by that key" };
  const problem = named ? "the key is not known" : "it names no key, and no known key has made it";
  return { t: "unknown-key", keyId: shownKeyId(keyId), problem };
}

/** Why a key does not count at a time; undefined when it does. */
function refusalOf({ revoked, notBeforeMs, notAfterMs }: TrustedKey, atMs: number): string | undefined {
  if (revoked) return "is revoked";
  if (notBeforeMs !== undefined && atMs < notBeforeMs)
    return `counts from ${new Date(notBeforeMs).toISOString()} on`;
  if (notAfterMs !== undefined && atMs >= notAfterMs)
    return `counted until ${new Date(notAfterMs).toISOString()}`;
  return undefined;
}
