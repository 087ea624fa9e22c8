/**
 * A module as its signature sees it: the signature section in front, then parts, each ended by a delimiter.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { setImmediate as nextTurn } from "node:timers/promises";
import { leatError } from "../errors.ts";
import type { Limits } from "../limits.ts";
import { ByteCursor, CursorError, leb128 } from "./byte-cursor.ts";
import { maxHashes, SignatureDataError } from "./signature-data.ts";

/** `\0asm`, version 1. */
const header = Uint8Array.of(0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00);
const signatureName = "signature";
const delimiterName = "signature_delimiter";
/** Sections that are not custom come once each. Source: WebAssembly core specification, 5.5.2. */
const maxPlainSections = 13;
/** What is hashed at once: other work has its turn after so many bytes. */
const hashedAtOnceBytes = 1024 * 1024;

/** The limits that a module is taken apart under. */
export type PartLimits = Pick<Limits, "maxModuleBytes" | "maxCustomSections">;

/** What a signature needs to know of a module. */
export interface ModuleParts {
  /** The payload of the signature section; undefined where the module has none. */
  readonly embedded: Uint8Array | undefined;
  /** The module without its signature section and its header. */
  readonly body: Uint8Array;
  /** The parts of the body, each with its delimiter. */
  readonly parts: readonly Uint8Array[];
}

/**
 * Takes a module apart. Reads the heads of its sections only.
 *
 * @throws LeatError MODULE_TOO_LARGE, MODULE_NOT_WASM, MODULE_MALFORMED, MODULE_LIMIT_EXCEEDED
 * @throws SignatureDataError where a signature section is not the first one, or the module has too many parts
 */
export function modulePartsOf(wasm: Uint8Array, limits: PartLimits): ModuleParts {
  const { maxModuleBytes } = limits;
  if (wasm.length > maxModuleBytes) {
    const measured = { limit: "maxModuleBytes", value: maxModuleBytes, measured: wasm.length };
    throw leatError("MODULE_TOO_LARGE", measured);
  }
  if (Buffer.compare(wasm.subarray(0, header.length), header) !== 0)
    throw leatError("MODULE_NOT_WASM", { problem: "it does not begin with \\0asm and version 1" });
  try {
    return readParts(wasm, limits);
  } catch (error) {
    if (error instanceof CursorError)
      throw leatError("MODULE_MALFORMED", { problem: error.message, offset: error.offset });
    throw error;
  }
}

function readParts(wasm: Uint8Array, limits: PartLimits): ModuleParts {
  const cursor = new ByteCursor(wasm, header.length);
  const count = { custom: 0, plain: 0 };
  const parts: Uint8Array[] = [];
  let embedded: Uint8Array | undefined;
  let bodyAt = header.length;
  let partAt = header.length;
  while (!cursor.atEnd) {
    const start = cursor.offset;
    const section = readSection(cursor);
    countSection(section.custom, count, limits, start);
    if (section.name === signatureName) {
      if (start !== header.length)
        throw new SignatureDataError("a section named signature is not the first section");
      embedded = section.payload;
      bodyAt = cursor.offset;
      partAt = cursor.offset;
    } else if (section.name === delimiterName) {
      parts.push(wasm.subarray(partAt, cursor.offset));
      partAt = cursor.offset;
      if (parts.length > maxHashes)
        throw new SignatureDataError(`the module has more than ${maxHashes} parts`);
    }
  }
  if (partAt < cursor.offset || parts.length === 0) parts.push(wasm.subarray(partAt, cursor.offset));
  return { embedded, body: wasm.subarray(bodyAt), parts };
}

/** A module of millions of empty sections would keep the thread busy for seconds. */
function countSection(
  custom: boolean,
  count: { custom: number; plain: number },
  { maxCustomSections }: PartLimits,
  offset: number,
): void {
  if (!custom && ++count.plain > maxPlainSections)
    throw leatError("MODULE_MALFORMED", { problem: "a section comes more than once", offset });
  if (custom && ++count.custom > maxCustomSections) {
    const measured = { limit: "maxCustomSections", value: maxCustomSections, measured: count.custom };
    throw leatError("MODULE_LIMIT_EXCEEDED", { ...measured, where: "its custom sections" });
  }
}

/** Reads a section; its name where it is a custom one with a name that matters here. */
function readSection(cursor: ByteCursor): { custom: boolean; name: string; payload: Uint8Array } {
  const id = cursor.byte("a section's id");
  const payload = cursor.take(cursor.u32("a section's size"), "a section");
  if (id !== 0) return { custom: false, name: "", payload };
  const inner = new ByteCursor(payload);
  const length = inner.u32("the length of a section's name");
  const name = inner.take(length, "a section's name");
  if (length > delimiterName.length) return { custom: true, name: "", payload };
  return {
    custom: true,
    name: Buffer.from(name).toString("latin1"),
    payload: payload.subarray(inner.offset),
  };
}

/** For each part the hash of all up to its end, one after the other. Large modules are hashed in turns with other work. */
export async function hashParts({ parts }: ModuleParts): Promise<Uint8Array> {
  const hash = createHash("sha256");
  const hashes: Uint8Array[] = [];
  for (const part of parts) {
    for (let at = 0; at < part.length; at += hashedAtOnceBytes) {
      if (at > 0) await nextTurn();
      hash.update(part.subarray(at, at + hashedAtOnceBytes));
    }
    hashes.push(hash.copy().digest());
  }
  return Uint8Array.from(Buffer.concat(hashes));
}

/** The module with a signature section in front, in place of one that it may have. */
export function withSignature({ body }: ModuleParts, data: Uint8Array): Uint8Array {
  const name = Buffer.from(signatureName);
  const inner = Buffer.concat([Uint8Array.from(leb128(name.length)), name, data]);
  return Buffer.concat([header, Uint8Array.of(0), Uint8Array.from(leb128(inner.length)), inner, body]);
}
