/**
 * Value and reference types as they stand in a binary, and the function types made from them.
 *
 * Source: WebAssembly core specification, 5.3; for the refused ones the proposals for garbage
 * collection, exception handling and stack switching.
 *
 * @module
 */

import { leatError } from "../errors.ts";
import type { ByteReader } from "./reader.ts";

/** The reference types that a module may use, by their byte. */
const referenceTypes: ReadonlyMap<number, string> = new Map([
  [0x70, "funcref"],
  [0x6f, "externref"],
]);

const valueTypes: ReadonlyMap<number, string> = new Map([
  [0x7f, "i32"],
  [0x7e, "i64"],
  [0x7d, "f32"],
  [0x7c, "f64"],
  [0x7b, "v128"],
  ...referenceTypes,
]);

/** The same by plain index: modules may have tens of millions of types in lists. */
const valueTypeByCode = byCode(valueTypes);
const referenceTypeByCode = byCode(referenceTypes);

function byCode(types: ReadonlyMap<number, string>): readonly (string | undefined)[] {
  return Array.from({ length: 256 }, (_, code) => types.get(code));
}

/** Types of proposals whose objects live on V8's heap, where no limit of ours holds. */
const refusedValueTypes: ReadonlyMap<number, string> = new Map([
  [0x74, "noexn"],
  [0x73, "nofunc"],
  [0x72, "noextern"],
  [0x71, "nullref"],
  [0x6e, "anyref"],
  [0x6d, "eqref"],
  [0x6c, "i31ref"],
  [0x6b, "structref"],
  [0x6a, "arrayref"],
  [0x69, "exnref"],
  [0x68, "contref"],
  [0x64, "typed references"],
  [0x63, "typed references"],
]);

const refusedTypeForms: ReadonlyMap<number, string> = new Map([
  [0x65, "shared types"],
  [0x5f, "struct types (garbage collection)"],
  [0x5e, "array types (garbage collection)"],
  [0x5d, "continuation types"],
  [0x50, "subtypes (garbage collection)"],
  [0x4f, "subtypes (garbage collection)"],
  [0x4e, "recursive type groups (garbage collection)"],
]);

const functionForm = 0x60;

/** Parameters or results that a type's text spells out. */
const maxSpelledTypes = 16;

/** Makes the error that refuses a feature. */
export function refused(feature: string, offset: number): Error {
  return leatError("MODULE_FEATURE_REFUSED", { feature, offset });
}

function readTypeOf(allowed: readonly (string | undefined)[], reader: ByteReader, what: string): string {
  const code = reader.byte(what);
  const type = allowed[code];
  if (type !== undefined) return type;
  const offset = reader.offset - 1;
  const feature = refusedValueTypes.get(code);
  if (feature !== undefined) throw refused(feature, offset);
  throw reader.malformed(`${what} has the unknown type 0x${code.toString(16)}`, offset);
}

/** Reads a value type that a module may use and returns its text, such as `i32`. */
export function readValueType(reader: ByteReader, what: string): string {
  return readTypeOf(valueTypeByCode, reader, what);
}

/** Reads `funcref` or `externref`. */
export function readReferenceType(reader: ByteReader, what: string): string {
  return readTypeOf(referenceTypeByCode, reader, what);
}

/** The byte of a block that takes and leaves nothing. */
const emptyBlock = 0x40;

/**
 * Reads the type of a block: none, a value type that a module may use, or the index of a function type. An index is a
 * signed number that is not negative; a number that is, other than these types in their one byte, is nothing that a
 * module needs.
 */
export function readBlockType(reader: ByteReader): void {
  const { bytes, offset, end } = reader;
  const first = offset < end ? (bytes[offset] as number) : 0;
  if (first === emptyBlock) reader.offset += 1;
  else if (first > 0x3f && first < 0x80) readValueType(reader, "a block");
  else {
    reader.u32("the type of a block");
    if (((bytes[reader.offset - 1] as number) & 0x40) !== 0)
      throw reader.malformed("the type of a block is a negative number", offset);
  }
}

/** Reads the type behind `ref.null`: func or extern, in the byte that stands for a reference to it. */
export function readNullType(reader: ByteReader): void {
  const offset = reader.offset;
  if (!referenceTypes.has(reader.byte("the type of a null"))) throw refused("typed references", offset);
}

function skipTypes(reader: ByteReader, what: string): number {
  const count = reader.vectorLength(what);
  for (let index = 0; index < count; index += 1) readValueType(reader, what);
  return count;
}

/** Reads one entry of the type section, which must be a function type. Returns how many parameters and results it has. */
export function readFunctionType(reader: ByteReader): { parameterCount: number; resultCount: number } {
  const offset = reader.offset;
  const form = reader.byte("a type");
  if (form !== functionForm) {
    const feature = refusedTypeForms.get(form);
    if (feature !== undefined) throw refused(feature, offset);
    throw reader.malformed(`the type form 0x${form.toString(16)} is unknown`, offset);
  }
  return { parameterCount: skipTypes(reader, "parameters"), resultCount: skipTypes(reader, "results") };
}

/**
 * The text of the function type that begins at `offset` and was read before, such as
 * `(i32, i32) -> i64`. Long lists are cut.
 */
export function functionTypeText(bytes: Uint8Array, offset: number): string {
  let position = offset + 1;
  const list = (): { text: string; count: number } => {
    let count = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[position++] ?? 0;
      count += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) break;
    }
    const spelled: string[] = [];
    for (let index = 0; index < Math.min(count, maxSpelledTypes); index += 1) {
      spelled.push(valueTypes.get(bytes[position + index] ?? 0) ?? "?");
    }
    if (count > maxSpelledTypes) spelled.push(`… ${count} in all`);
    position += count;
    return { text: spelled.join(", "), count };
  };
  const parameters = list();
  const results = list();
  return `(${parameters.text}) -> ${results.count === 1 ? results.text : `(${results.text})`}`;
}
