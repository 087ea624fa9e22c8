/**
 * Steps through the operators of a function body, to find those that must not run.
 *
 * Tail calls are refused: V8's optimised code does not look for a request to stop between them, so a function
 * that tail-calls itself runs on for ever after its worker was terminated, and keeps a core (V8 14.6, measured).
 * Typed and exception references are refused here as they are in declarations: blocks, nulls and catches make them, too.
 * An operator that is not known here is refused as well, since what follows it could not be read. For the same
 * reason types are read with the readers of the declarations, and never skipped as numbers: a typed reference is two.
 *
 * Source of the encodings: WebAssembly core specification 3.0, chapter 5.4, and the exception-handling
 * proposal's former operators, which toolchains still emit.
 *
 * @module
 */

import type { ByteReader } from "./reader.ts";
import { readBlockType, readNullType, readValueType, refused } from "./value-types.ts";

/** What follows an operator. */
const Immediate = {
  none: 0,
  /** An index or a number of up to 32 bits. */
  index: 1,
  twoIndexes: 2,
  signed: 3,
  fourBytes: 4,
  eightBytes: 5,
  /** An alignment and an offset. */
  memory: 6,
  /** `br_table`: a vector of labels and one more. */
  labels: 7,
  /** `select` with types: a vector of value types. */
  types: 8,
  /** `try_table`: a block type and a vector of catches. */
  catches: 9,
  /** The second byte decides: numeric, bulk memory and table operators. */
  prefixFc: 10,
  /** The second number decides: vector operators. */
  prefixFd: 11,
  /** The second number decides: atomic operators. */
  prefixFe: 12,
  tailCall: 13,
  unknown: 14,
  blockType: 15,
  /** `ref.null`: the type of what is not there. */
  nullType: 16,
  /** Operators on typed references and exception references. */
  typedReference: 17,
  exceptionReference: 18,
  /** An index, of an operator that makes a reference to a function or moves one. */
  reference: 19,
} as const;

const immediates = new Uint8Array(256).fill(Immediate.unknown);
function set(kind: number, from: number, to = from): void {
  immediates.fill(kind, from, to + 1);
}
set(Immediate.none, 0x00, 0x01);
set(Immediate.blockType, 0x02, 0x04);
set(Immediate.none, 0x05);
set(Immediate.blockType, 0x06);
set(Immediate.index, 0x07, 0x09);
set(Immediate.exceptionReference, 0x0a);
set(Immediate.none, 0x0b);
set(Immediate.index, 0x0c, 0x0d);
set(Immediate.labels, 0x0e);
set(Immediate.none, 0x0f);
set(Immediate.index, 0x10);
set(Immediate.twoIndexes, 0x11);
set(Immediate.tailCall, 0x12, 0x13);
set(Immediate.typedReference, 0x14);
set(Immediate.tailCall, 0x15);
set(Immediate.index, 0x18);
set(Immediate.none, 0x19, 0x1b);
set(Immediate.types, 0x1c);
set(Immediate.catches, 0x1f);
set(Immediate.index, 0x20, 0x24);
set(Immediate.reference, 0x25, 0x26);
set(Immediate.memory, 0x28, 0x3e);
set(Immediate.index, 0x3f, 0x40);
set(Immediate.signed, 0x41, 0x42);
set(Immediate.fourBytes, 0x43);
set(Immediate.eightBytes, 0x44);
set(Immediate.none, 0x45, 0xc4);
set(Immediate.nullType, 0xd0);
set(Immediate.none, 0xd1);
set(Immediate.reference, 0xd2);
set(Immediate.typedReference, 0xd3, 0xd6);
set(Immediate.prefixFc, 0xfc);
set(Immediate.prefixFd, 0xfd);
set(Immediate.prefixFe, 0xfe);

/** What a body does with tables, as bits. */
export const TableUse = {
  /** It makes references to functions, or moves them. */
  refers: 1,
  /** It makes a table larger. */
  grows: 2,
} as const;

/** A signed LEB128 of 64 bits takes no more. */
const maxSignedBytes = 10;

/**
 * Reads operators up to the reader's end.
 *
 * @returns bits of {@link TableUse}
 * @throws LeatError MODULE_FEATURE_REFUSED, and MODULE_MALFORMED where an operator is cut off
 */
export function checkOperators(reader: ByteReader): number {
  const { bytes, end } = reader;
  let use = 0;
  while (reader.offset < end) {
    const start = reader.offset;
    const kind = immediates[bytes[reader.offset++] as number] as number;
    if (kind === Immediate.none) continue;
    if (kind === Immediate.index) {
      // The usual index has one byte.
      if (reader.offset < end && (bytes[reader.offset] as number) < 0x80) reader.offset++;
      else reader.u32("an index");
      continue;
    }
    if (kind === Immediate.prefixFc) use |= readBulk(reader, start);
    else if (kind === Immediate.reference) {
      reader.u32("an index");
      use |= TableUse.refers;
    } else readImmediate(reader, kind, start);
  }
  return use;
}

function readImmediate(reader: ByteReader, kind: number, start: number): void {
  switch (kind) {
    case Immediate.twoIndexes:
      reader.u32("an index");
      reader.u32("an index");
      return;
    case Immediate.signed:
      reader.skipSigned(maxSignedBytes, "a constant");
      return;
    case Immediate.blockType:
      readBlockType(reader);
      return;
    case Immediate.nullType:
      readNullType(reader);
      return;
    case Immediate.fourBytes:
      reader.skip(4, "a constant");
      return;
    case Immediate.eightBytes:
      reader.skip(8, "a constant");
      return;
    case Immediate.memory:
      readMemoryArgument(reader);
      return;
    case Immediate.labels:
      for (let labels = reader.vectorLength("labels") + 1; labels > 0; labels--) reader.u32("a label");
      return;
    case Immediate.types:
      for (let types = reader.vectorLength("types"); types > 0; types--) readValueType(reader, "a select");
      return;
    case Immediate.catches:
      readCatches(reader);
      return;
    case Immediate.prefixFd:
      readVector(reader, start);
      return;
    case Immediate.prefixFe:
      readAtomic(reader, start);
      return;
    case Immediate.tailCall:
      throw refused("a tail call, which cannot be stopped", start);
    case Immediate.typedReference:
      throw refused("typed references", start);
    case Immediate.exceptionReference:
      throw refused("exception references", start);
    default:
      throw refused(`the operator 0x${(reader.bytes[start] ?? 0).toString(16)}`, start);
  }
}

/** What an alignment may have: the power of two, up to that of 16 bytes with room to spare, and the bit below. */
const alignmentBits = 0x4f;
const namesMemory = 0x40;

/** An alignment, with the index of a memory behind it where its seventh bit says so, and an offset. */
function readMemoryArgument(reader: ByteReader): void {
  const start = reader.offset;
  const alignment = reader.u32("an alignment");
  if ((alignment & ~alignmentBits) !== 0)
    throw reader.malformed(`an alignment is 0x${alignment.toString(16)}`, start);
  if ((alignment & namesMemory) !== 0) reader.u32("an index");
  reader.skipSigned(maxSignedBytes, "an offset");
}

/** Catches that leave a reference to the exception. */
const catchReference = 1;
const catchAllReference = 3;

function readCatches(reader: ByteReader): void {
  readBlockType(reader);
  for (let catches = reader.vectorLength("catches"); catches > 0; catches--) {
    const start = reader.offset;
    const kind = reader.byte("a catch");
    if (kind > catchAllReference) throw reader.malformed(`a catch has the kind ${kind}`, start);
    if (kind === catchReference || kind === catchAllReference) throw refused("exception references", start);
    if (kind === 0) reader.u32("a tag");
    reader.u32("a label");
  }
}

/** How many indexes follow the operators 0xfc 0 to 17: conversions, then bulk operators on memories and tables. */
const bulkIndexes = [0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 2, 1, 2, 1, 2, 1, 1, 1];

/** What the operators from 12 on do with tables: `table.init`, `elem.drop`, `table.copy`, `table.grow`, `table.size`, `table.fill`. */
const bulkUses = [TableUse.refers, 0, TableUse.refers, TableUse.refers | TableUse.grows, 0, TableUse.refers];

/** @returns bits of {@link TableUse} */
function readBulk(reader: ByteReader, start: number): number {
  const operator = reader.u32("an operator");
  const indexes = bulkIndexes[operator];
  if (indexes === undefined) throw refused(`the operator 0xfc ${operator}`, start);
  for (let index = 0; index < indexes; index++) reader.u32("an index");
  return bulkUses[operator - 12] ?? 0;
}

/** The last vector operator, of the relaxed ones. */
const lastVector = 0x113;

function readVector(reader: ByteReader, start: number): void {
  const operator = reader.u32("an operator");
  if (operator > lastVector) throw refused(`the operator 0xfd ${operator}`, start);
  if (operator <= 11 || operator === 92 || operator === 93) readMemoryArgument(reader);
  else if (operator === 12 || operator === 13) reader.skip(16, "a vector");
  else if (operator >= 21 && operator <= 34) reader.skip(1, "a lane");
  else if (operator >= 84 && operator <= 91) {
    readMemoryArgument(reader);
    reader.skip(1, "a lane");
  }
}

/** `memory.atomic.notify` and the two waits, then from 16 on loads, stores and what is both. */
const lastWait = 0x02;
const fence = 0x03;
const firstAccess = 0x10;
const lastAccess = 0x4e;

function readAtomic(reader: ByteReader, start: number): void {
  const operator = reader.u32("an operator");
  if (operator === fence) reader.skip(1, "a fence");
  else if (operator <= lastWait || (operator >= firstAccess && operator <= lastAccess))
    readMemoryArgument(reader);
  else throw refused(`the operator 0xfe ${operator}`, start);
}
