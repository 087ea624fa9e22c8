/**
 * Ed25519 keys in the forms that people have them in: wasmsign2's files, PEM, DER and OpenSSH's line.
 *
 * @module
 */

import {
  createHmac,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
} from "node:crypto";

/** The first byte of wasmsign2's files. Source: WebAssembly tool conventions, Signatures.md. */
const rawIds = { public: 0x01, pair: 0x81 } as const;
const keyBytes = 32;
const keyIdBytes = 12;
/** Files of keys are small: what is larger is none. */
export const maxKeyFileBytes = 16 * 1024;

/** A public key. */
export interface PublicKey {
  /** For Node's `verify`. */
  readonly key: KeyObject;
  /** The key itself: 32 bytes. */
  readonly bytes: Uint8Array;
  /** The identifier that signatures name it by: 12 bytes, derived from the key as wasmsign2 does it. */
  readonly id: Uint8Array;
}

/** A key that signs, with its public half. */
export interface SecretKey {
  /** For Node's `sign`. */
  readonly key: KeyObject;
  readonly public: PublicKey;
}

/** A key that cannot be read. */
export class KeyError extends Error {
  override readonly name = "KeyError";
}

function publicKeyOf(bytes: Uint8Array): PublicKey {
  const x = Buffer.from(bytes).toString("base64url");
  const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
  const id = createHmac("sha256", bytes).update("key_id").digest().subarray(0, keyIdBytes);
  return { key, bytes: Uint8Array.from(bytes), id: Uint8Array.from(id) };
}

/**
 * Reads a public key in whichever form it is given: wasmsign2's 33 bytes, those in base64, PEM, DER, or
 * `ssh-ed25519 AAAA…`.
 *
 * @throws KeyError
 */
export function readPublicKey(given: Uint8Array): PublicKey {
  if (given.length > maxKeyFileBytes) throw new KeyError(`${given.length} bytes are too many for a key`);
  if (given.length === 1 + keyBytes && given[0] === rawIds.public) return publicKeyOf(given.subarray(1));
  const text = Buffer.from(given).toString("latin1").trim();
  // A secret key would be turned into its public half without a word, and stay where others may read it.
  if (/PRIVATE KEY/.test(text) || (given.length === 1 + 2 * keyBytes && given[0] === rawIds.pair))
    throw new KeyError("is a secret key; give its public key");
  const ssh = /^ssh-ed25519 ([A-Za-z0-9+/=]+)/m.exec(text)?.[1];
  if (ssh !== undefined) return publicKeyOf(openSshKey(Buffer.from(ssh, "base64")));
  if (/^[A-Za-z0-9+/]{44}$/.test(text)) {
    const raw = Buffer.from(text, "base64");
    if (raw[0] === rawIds.public) return publicKeyOf(raw.subarray(1));
  }
  return publicKeyOf(exported(publicKeyObject(given, text)));
}

/** OpenSSH's form: the type, then the key, each after its length. Source: RFC 8709, section 4. */
function openSshKey(blob: Buffer): Uint8Array {
  const type = Buffer.from("\0\0\0\x0bssh-ed25519\0\0\0\x20", "latin1");
  if (blob.length !== type.length + keyBytes || !blob.subarray(0, type.length).equals(type))
    throw new KeyError("is no Ed25519 key of OpenSSH");
  return blob.subarray(type.length);
}

function publicKeyObject(given: Uint8Array, text: string): KeyObject {
  try {
    return text.startsWith("-----BEGIN PUBLIC KEY-----")
      ? createPublicKey(text)
      : createPublicKey({ key: Buffer.from(given), format: "der", type: "spki" });
  } catch {
    throw new KeyError("is no public key: give wasmsign2's file, PEM, DER or ssh-ed25519");
  }
}

/** The 32 bytes of a public key. @throws KeyError for a key of another kind */
function exported(key: KeyObject): Uint8Array {
  if (key.asymmetricKeyType !== "ed25519")
    throw new KeyError(`is a key for ${key.asymmetricKeyType ?? "nothing known"}, not for Ed25519`);
  return Buffer.from(key.export({ format: "jwk" }).x ?? "", "base64url");
}

/**
 * Reads a secret key: wasmsign2's 65 bytes, PEM, or DER.
 *
 * @throws KeyError
 */
export function readSecretKey(given: Uint8Array): SecretKey {
  if (given.length === 1 + 2 * keyBytes && given[0] === rawIds.pair) {
    const d = Buffer.from(given.subarray(1, 1 + keyBytes)).toString("base64url");
    const x = Buffer.from(given.subarray(1 + keyBytes)).toString("base64url");
    const key = createPrivateKey({ key: { kty: "OKP", crv: "Ed25519", d, x }, format: "jwk" });
    const secret = secretKeyOf(key);
    if (Buffer.compare(secret.public.bytes, given.subarray(1 + keyBytes)) !== 0)
      throw new KeyError("holds a secret key and the public key of another");
    return secret;
  }
  let key: KeyObject;
  try {
    const text = Buffer.from(given).toString("latin1").trim();
    key = text.startsWith("-----BEGIN")
      ? createPrivateKey(text)
      : createPrivateKey({ key: Buffer.from(given), format: "der", type: "pkcs8" });
  } catch {
    throw new KeyError("is no secret key: give wasmsign2's file, PEM or DER, without a passphrase");
  }
  return secretKeyOf(key);
}

function secretKeyOf(key: KeyObject): SecretKey {
  return { key, public: publicKeyOf(exported(createPublicKey(key))) };
}

/** A new key. */
export function generateKey(): SecretKey {
  return secretKeyOf(generateKeyPairSync("ed25519").privateKey);
}

/** How a key is written to a file. */
export type KeyForm = "raw" | "pem";

/** A public key for a file: wasmsign2's 33 bytes, or PEM. */
export function writePublicKey({ key, bytes }: PublicKey, form: KeyForm): Uint8Array {
  if (form === "pem") return Buffer.from(key.export({ format: "pem", type: "spki" }));
  return Uint8Array.from([rawIds.public, ...bytes]);
}

/** A secret key for a file: wasmsign2's 65 bytes, or PEM. */
export function writeSecretKey(secret: SecretKey, form: KeyForm): Uint8Array {
  if (form === "pem") return Buffer.from(secret.key.export({ format: "pem", type: "pkcs8" }));
  const seed = Buffer.from(secret.key.export({ format: "jwk" }).d ?? "", "base64url");
  return Uint8Array.from([rawIds.pair, ...seed, ...secret.public.bytes]);
}

/** An identifier as people read it. */
export function shownKeyId(id: Uint8Array): string {
  return Buffer.from(id).toString("hex");
}
