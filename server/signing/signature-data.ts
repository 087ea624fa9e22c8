/**
 * What a `signature` section holds: sets of hashes, each with its signatures.
 *
 * Source: WebAssembly tool conventions, Signatures.md, version 1; sets and signatures are preceded by their length, as
 * wasmsign2 0.2.8 writes them.
 *
 * @module
 */

import { ByteCursor, CursorError, leb128 } from "./byte-cursor.ts";

/** The bytes that stand for the format's version, for a module, for SHA-256 and for Ed25519. */
const format = { version: 1, module: 1, sha256: 1, ed25519: 1 } as const;

const hashBytes = 32;
const signatureBytes = 64;
/** Sets of hashes, and hashes of one set. Source: wasmsign2, MAX_HASHES. */
export const maxHashes = 64;
/** A key's identifier; those that are derived from the key have 12 bytes. */
const maxKeyIdBytes = 64;

/** One signature over a set of hashes. */
export interface Signature {
  /** What names the key; empty names none. */
  readonly keyId: Uint8Array;
  /** Ed25519, 64 bytes; undefined for an algorithm that is not known here. */
  readonly signature: Uint8Array | undefined;
}

/** Hashes of a module's parts, and who signed them. */
export interface SignedHashes {
  /** One after the other, 32 bytes each. */
  readonly hashes: Uint8Array;
  readonly signatures: readonly Signature[];
}

/** Signature data that cannot be read. */
export class SignatureDataError extends Error {
  override readonly name = "SignatureDataError";
}

/**
 * Reads signature data: the payload of a `signature` section, or a detached signature.
 *
 * @param maxSignatures - how many signatures there may be in all
 * @throws SignatureDataError
 */
export function readSignatureData(bytes: Uint8Array, maxSignatures: number): SignedHashes[] {
  try {
    return readSets(new ByteCursor(bytes), maxSignatures);
  } catch (error) {
    if (error instanceof CursorError)
      throw new SignatureDataError(`${error.message} (byte ${error.offset} of the signature)`);
    throw error;
  }
}

function readSets(cursor: ByteCursor, maxSignatures: number): SignedHashes[] {
  expectByte(cursor, "the version", format.version);
  expectByte(cursor, "the content type", format.module);
  expectByte(cursor, "the hash function", format.sha256);
  const count = readCount(cursor, "sets of hashes", maxHashes);
  const sets: SignedHashes[] = [];
  let left = maxSignatures;
  for (let each = 0; each < count; each++) {
    const set = readSet(inner(cursor, "a set of hashes"), left);
    left -= set.signatures.length;
    sets.push(set);
  }
  expectEnd(cursor, "the signature");
  return sets;
}

function readSet(cursor: ByteCursor, maxSignatures: number): SignedHashes {
  const hashes = cursor.take(readCount(cursor, "hashes", maxHashes) * hashBytes, "the hashes");
  const count = readCount(cursor, "signatures", maxSignatures);
  const signatures: Signature[] = [];
  for (let each = 0; each < count; each++) signatures.push(readSignature(inner(cursor, "a signature")));
  expectEnd(cursor, "a set of hashes");
  return { hashes, signatures };
}

function readSignature(cursor: ByteCursor): Signature {
  const keyId = cursor.take(
    readCount(cursor, "bytes of a key's identifier", maxKeyIdBytes),
    "a key's identifier",
  );
  const algorithm = cursor.byte("the algorithm");
  // What the bytes of another algorithm mean is not known.
  if (algorithm !== format.ed25519) return { keyId, signature: undefined };
  const length = cursor.u32("the length of a signature");
  if (length !== signatureBytes)
    throw new SignatureDataError(`a signature has ${length} bytes, and Ed25519 has ${signatureBytes}`);
  const signature = cursor.take(signatureBytes, "a signature");
  expectEnd(cursor, "a signature");
  return { keyId, signature };
}

function inner(cursor: ByteCursor, what: string): ByteCursor {
  return new ByteCursor(cursor.take(cursor.u32(`the length of ${what}`), what));
}

function readCount(cursor: ByteCursor, what: string, max: number): number {
  const count = cursor.u32(`the number of ${what}`);
  if (count > max) throw new SignatureDataError(`${count} ${what} are more than ${max}`);
  return count;
}

function expectByte(cursor: ByteCursor, what: string, expected: number): void {
  const found = cursor.byte(what);
  if (found !== expected) throw new SignatureDataError(`${what} is ${found}, not ${expected}`);
}

function expectEnd(cursor: ByteCursor, what: string): void {
  if (!cursor.atEnd) throw new SignatureDataError(`${what} is longer than what it holds`);
}

/** Writes signature data. Signatures of an unknown algorithm cannot be written again: throws an Error. */
export function writeSignatureData(sets: readonly SignedHashes[]): Uint8Array {
  const written = sets.map(({ hashes, signatures }) =>
    withLength([
      ...leb128(hashes.length / hashBytes),
      ...hashes,
      ...leb128(signatures.length),
      ...signatures.flatMap(writeSignature),
    ]),
  );
  const head = [format.version, format.module, format.sha256];
  return Uint8Array.from([...head, ...leb128(sets.length), ...written.flat()]);
}

function writeSignature({ keyId, signature }: Signature): number[] {
  if (signature === undefined) throw new Error("a signature of an unknown algorithm cannot be written");
  return withLength([...withLength([...keyId]), format.ed25519, ...withLength([...signature])]);
}

function withLength(bytes: readonly number[]): number[] {
  return [...leb128(bytes.length), ...bytes];
}

/** What is signed: the domain, the format, the hashes. */
export function signedMessage(hashes: Uint8Array): Uint8Array {
  return Buffer.concat([
    Buffer.from("wasmsig"),
    Uint8Array.of(format.version, format.module, format.sha256),
    hashes,
  ]);
}
