/**
 * Signs modules, as wasmsign2 does: the same key and module give the same bytes.
 *
 * @module
 */

import { sign } from "node:crypto";
import type { SecretKey } from "./keys.ts";
import { type ModuleParts, modulePartsOf, withSignature } from "./module-parts.ts";
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
 * @param maxSignatures - how many signatures a module may have
 * @throws LeatError MODULE_NOT_WASM, MODULE_MALFORMED
 * @throws SignatureDataError when the module has a signature section that cannot be added to, or has this signature already
 */
export function signModule(wasm: Uint8Array, key: SecretKey, maxSignatures: number): Uint8Array {
  const parts = modulePartsOf(wasm);
  const before = parts.embedded === undefined ? [] : readSignatureData(parts.embedded, maxSignatures - 1);
  return withSignature(parts, writeSignatureData(addSignature(before, parts, key)));
}

/**
 * Signs a module and leaves it as it is.
 *
 * @returns the detached signature, for a file beside the module
 * @throws LeatError MODULE_NOT_WASM, MODULE_MALFORMED
 * @throws SignatureDataError when the module has a signature in itself
 */
export function signDetached(wasm: Uint8Array, key: SecretKey): Uint8Array {
  const parts = modulePartsOf(wasm);
  if (parts.embedded !== undefined)
    throw new SignatureDataError("the module has a signature in itself; add to that one");
  return writeSignatureData(addSignature([], parts, key));
}

function addSignature(before: readonly SignedHashes[], parts: ModuleParts, key: SecretKey): SignedHashes[] {
  const { hashes } = parts;
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
