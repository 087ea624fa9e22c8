/**
 * A module as its signature sees it: the signature section in front, then parts, each ended by a delimiter.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { leatError } from "../errors.ts";
import { ByteCursor, CursorError, leb128 } from "./byte-cursor.ts";
import { maxHashes, SignatureDataError } from "./signature-data.ts";

/** `\0asm`, version 1. */
const header = Uint8Array.of(0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00);
const signatureName = "signature";
const delimiterName = "signature_delimiter";

/** What a signature needs to know of a module. */
export interface ModuleParts {
  /** The payload of the signature section; undefined where the module has none. */
  readonly embedded: Uint8Array | undefined;
  /** The module without its signature section and its header. */
  readonly body: Uint8Array;
  /** For each part the hash of all up to its end, one after the other. */
  readonly hashes: Uint8Array;
}

/**
 * Takes a module apart.
 *
 * @throws LeatError MODULE_NOT_WASM, MODULE_MALFORMED
 * @throws SignatureDataError where a signature section is not the first one, or the module has too many parts
 */
export function modulePartsOf(wasm: Uint8Array): ModuleParts {
  if (Buffer.compare(wasm.subarray(0, header.length), header) !== 0)
    throw leatError("MODULE_NOT_WASM", { problem: "it does not begin with \\0asm and version 1" });
  try {
    return readParts(wasm);
  } catch (error) {
    if (error instanceof CursorError)
      throw leatError("MODULE_MALFORMED", { problem: error.message, offset: error.offset });
    throw error;
  }
}

function readParts(wasm: Uint8Array): ModuleParts {
  const cursor = new ByteCursor(wasm, header.length);
  const hash = createHash("sha256");
  const hashes: Uint8Array[] = [];
  let embedded: Uint8Array | undefined;
  let bodyAt = header.length;
  let partAt = header.length;
  while (!cursor.atEnd) {
    const start = cursor.offset;
    const section = readSection(cursor);
    if (section.name === signatureName) {
      if (start !== header.length)
        throw new SignatureDataError("a section named signature is not the first section");
      embedded = section.payload;
      bodyAt = cursor.offset;
      partAt = cursor.offset;
    } else if (section.name === delimiterName) {
      hash.update(wasm.subarray(partAt, cursor.offset));
      hashes.push(hash.copy().digest());
      partAt = cursor.offset;
      if (hashes.length > maxHashes)
        throw new SignatureDataError(`the module has more than ${maxHashes} parts`);
    }
  }
  if (partAt < cursor.offset || hashes.length === 0) {
    hash.update(wasm.subarray(partAt, cursor.offset));
    hashes.push(hash.digest());
  }
  return { embedded, body: wasm.subarray(bodyAt), hashes: Buffer.concat(hashes) };
}

/** Reads a section; its name where it is a custom one with a name that matters here. */
function readSection(cursor: ByteCursor): { name: string; payload: Uint8Array } {
  const id = cursor.byte("a section's id");
  const payload = cursor.take(cursor.u32("a section's size"), "a section");
  if (id !== 0) return { name: "", payload };
  const inner = new ByteCursor(payload);
  const length = inner.u32("the length of a section's name");
  const name = inner.take(length, "a section's name");
  if (length > delimiterName.length) return { name: "", payload };
  return { name: Buffer.from(name).toString("latin1"), payload: payload.subarray(inner.offset) };
}

/** The module with a signature section in front, in place of one that it may have. */
export function withSignature({ body }: ModuleParts, data: Uint8Array): Uint8Array {
  const name = Buffer.from(signatureName);
  const inner = Buffer.concat([Uint8Array.from(leb128(name.length)), name, data]);
  return Buffer.concat([header, Uint8Array.of(0), Uint8Array.from(leb128(inner.length)), inner, body]);
}
