/**
 * Says by whom a module was signed.
 *
 * A signature counts only where it covers the whole module, part by part: one that leaves parts out, or to which parts
 * were added, is none here.
 *
 * @module
 */

import { verify } from "node:crypto";
import { type PublicKey, shownKeyId } from "./keys.ts";
import { type ModuleParts, modulePartsOf } from "./module-parts.ts";
import {
  readSignatureData,
  type Signature,
  SignatureDataError,
  type SignedHashes,
  signedMessage,
} from "./signature-data.ts";

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

/** What became of a module's signatures; the first of these that holds of any of them. */
export type Verdict =
  /** A key that counts has signed the module as it is. */
  | { readonly t: "signed"; readonly key: TrustedKey; readonly detached: boolean }
  /** A known key has signed it as it is, and does not count now. */
  | { readonly t: "key-refused"; readonly key: TrustedKey; readonly problem: string }
  /** A signature in the name of a known key is not right for this module. */
  | { readonly t: "invalid"; readonly key: TrustedKey; readonly problem: string }
  /** None of its signatures is by a known key. */
  | { readonly t: "unknown-key"; readonly keyIds: readonly string[] }
  | { readonly t: "malformed"; readonly problem: string }
  | { readonly t: "unsigned" };

/** What a module is verified with. */
export interface Verification {
  readonly wasm: Uint8Array;
  /** A signature that lies beside the module; undefined looks into the module itself. */
  readonly detached: Uint8Array | undefined;
  readonly keys: readonly TrustedKey[];
  /** The time, for keys that count for a while only. */
  readonly nowMs: number;
  /** How many signatures a module may have. */
  readonly maxSignatures: number;
  /** How large its signature data may be. */
  readonly maxSignatureBytes: number;
}

/**
 * Verifies a module.
 *
 * @throws LeatError MODULE_NOT_WASM, MODULE_MALFORMED for what is no module to begin with
 */
export function verifyModule(verification: Verification): Verdict {
  try {
    return judge(verification, modulePartsOf(verification.wasm));
  } catch (error) {
    if (error instanceof SignatureDataError) return { t: "malformed", problem: error.message };
    throw error;
  }
}

function judge(verification: Verification, parts: ModuleParts): Verdict {
  const { detached, maxSignatures, maxSignatureBytes } = verification;
  if (detached !== undefined && parts.embedded !== undefined)
    return { t: "malformed", problem: "the module has a signature in itself and one beside it; give one" };
  const data = detached ?? parts.embedded;
  if (data === undefined) return { t: "unsigned" };
  if (data.length > maxSignatureBytes)
    return {
      t: "malformed",
      problem: `the signature has ${data.length} bytes, and may have ${maxSignatureBytes}`,
    };
  const sets = readSignatureData(data, maxSignatures);
  const verdicts = sets.flatMap((set) =>
    set.signatures.map((signature) => judgeSignature(verification, parts, set, signature)),
  );
  if (verdicts.length === 0) return { t: "malformed", problem: "it has no signatures" };
  return (
    verdicts.find(({ t }) => t === "signed") ??
    verdicts.find(({ t }) => t === "key-refused") ??
    verdicts.find(({ t }) => t === "invalid") ?? {
      t: "unknown-key",
      keyIds: verdicts.flatMap((verdict) => (verdict.t === "unknown-key" ? verdict.keyIds : [])),
    }
  );
}

function judgeSignature(
  { keys, nowMs, detached }: Verification,
  parts: ModuleParts,
  { hashes }: SignedHashes,
  { keyId, signature }: Signature,
): Verdict {
  if (signature === undefined) return { t: "unknown-key", keyIds: ["of another algorithm"] };
  const message = signedMessage(hashes);
  const named = keyId.length > 0;
  const candidates = named ? keys.filter(({ key }) => Buffer.compare(key.id, keyId) === 0) : keys;
  const key = candidates.find((candidate) => verify(null, message, candidate.key.key, signature));
  if (key === undefined) {
    const [meant] = candidates;
    if (named && meant !== undefined)
      return { t: "invalid", key: meant, problem: "the signature is not by that key" };
    return { t: "unknown-key", keyIds: [named ? shownKeyId(keyId) : "without an identifier"] };
  }
  if (Buffer.compare(hashes, parts.hashes) !== 0)
    return { t: "invalid", key, problem: "the key signed other bytes, or only parts of the module" };
  const problem = refusalOf(key, nowMs);
  if (problem !== undefined) return { t: "key-refused", key, problem };
  return { t: "signed", key, detached: detached !== undefined };
}

/** Why a key does not count now; undefined when it does. */
function refusalOf({ revoked, notBeforeMs, notAfterMs }: TrustedKey, nowMs: number): string | undefined {
  if (revoked) return "is revoked";
  if (notBeforeMs !== undefined && nowMs < notBeforeMs)
    return `counts from ${new Date(notBeforeMs).toISOString()} on`;
  if (notAfterMs !== undefined && nowMs >= notAfterMs)
    return `counted until ${new Date(notAfterMs).toISOString()}`;
  return undefined;
}
