/**
 * Signs modules, as wasmsign2 does: the same key and module give the same bytes.
 *
 * @module
 */

import { sign } from "node:crypto";
import type { Limits } from "../limits.ts";
import type { SecretKey } from "./keys.ts";
import { hashParts, modulePartsOf, type PartLimits, withSignature } from "./module-parts.ts";
import {
  readSignatureData,
  SignatureDataError,
  type SignedHashes,
  signedMessage,
  writeSignatureData,
} from "./signature-data.ts";

/**
 * Signs a module in itself. Signatures that it has stay, and this one is added.
 *
 * @throws LeatError MODULE_TOO_LARGE, MODULE_NOT_WASM, MODULE_MALFORMED, MODULE_LIMIT_EXCEEDED
 * @throws SignatureDataError when the module has a signature section that cannot be added to, or has this signature already
 */
export async function signModule(
  wasm: Uint8Array,
  key: SecretKey,
  limits: PartLimits & Pick<Limits, "maxSignatures">,
): Promise<Uint8Array> {
  const parts = modulePartsOf(wasm, limits);
  const { embedded } = parts;
  const before = embedded === undefined ? [] : readSignatureData(embedded, limits.maxSignatures - 1);
  const hashes = await hashParts(parts);
  return withSignature(parts, writeSignatureData(addSignature(before, hashes, key)));
}

/**
 * Signs a module and leaves it as it is.
 *
 * @returns the detached signature, for a file beside the module
 * @throws LeatError as {@link signModule}
 * @throws SignatureDataError when the module has a signature in itself
 */
export async function signDetached(
  wasm: Uint8Array,
  key: SecretKey,
  limits: PartLimits,
): Promise<Uint8Array> {
  const parts = modulePartsOf(wasm, limits);
  if (parts.embedded !== undefined)
    throw new SignatureDataError("the module has a signature in itself; add to that one");
  return writeSignatureData(addSignature([], await hashParts(parts), key));
}

function addSignature(before: readonly SignedHashes[], hashes: Uint8Array, key: SecretKey): SignedHashes[] {
  const signature = { keyId: key.public.id, signature: sign(null, signedMessage(hashes), key.key) };
  const at = before.findIndex((set) => Buffer.compare(set.hashes, hashes) === 0);
  const same = before[at];
  if (same === undefined) return [...before, { hashes, signatures: [signature] }];
  if (
    same.signatures.some(
      (other) => Buffer.compare(other.signature ?? Buffer.alloc(0), signature.signature) === 0,
    )
  )
    throw new SignatureDataError("the module is signed with this key already");
  return before.with(at, { hashes, signatures: [...same.signatures, signature] });
}
