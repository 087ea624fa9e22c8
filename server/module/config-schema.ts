/**
 * The schema of a module's configuration, which the module carries in a custom section.
 *
 * @module
 */

import { leatError } from "../errors.ts";
import type { Limits } from "../limits.ts";
import { printable } from "./printable.ts";
import { ByteReader } from "./reader.ts";
import { schemaProblem } from "./schema-shape.ts";

/** The name of the section. What is in it is a JSON Schema, in UTF-8. */
export const configSchemaSection = "leat_config_schema";

/** The limits on schemas. */
export type SchemaLimits = Pick<Limits, "maxConfigSchemaBytes" | "maxConfigSchemaDepth">;

/**
 * Reads what is in the section.
 *
 * @returns the schema's text
 * @throws LeatError MODULE_LIMIT_EXCEEDED, MODULE_SCHEMA_INVALID
 */
export function readConfigSchema(bytes: Uint8Array, limits: SchemaLimits): string {
  const { maxConfigSchemaBytes: value, maxConfigSchemaDepth } = limits;
  if (bytes.length > value) {
    const measured = { limit: "maxConfigSchemaBytes", value, measured: bytes.length };
    throw leatError("MODULE_LIMIT_EXCEEDED", { ...measured, where: `section ${configSchemaSection}` });
  }
  const text = decode(bytes);
  const problem = schemaProblem(parse(text), maxConfigSchemaDepth);
  if (problem !== undefined) refuseSchema(problem.at, problem.problem);
  return text;
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return refuseSchema("#", "it is not UTF-8");
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    return refuseSchema("#", `it is not JSON: ${(error as Error).message}`);
  }
}

/** @throws LeatError MODULE_SCHEMA_INVALID */
export function refuseSchema(at: string, problem: string): never {
  throw leatError("MODULE_SCHEMA_INVALID", { at: shown(at), problem: shown(problem) });
}

function shown(text: string): string {
  return printable(text.length > 300 ? `${text.slice(0, 300)}…`.toWellFormed() : text);
}

/**
 * The module with a schema, in place of one that it may have.
 *
 * @param wasm - a module that was inspected before
 * @throws LeatError MODULE_LIMIT_EXCEEDED, MODULE_SCHEMA_INVALID
 */
export function withConfigSchema(wasm: Uint8Array, schema: Uint8Array, limits: SchemaLimits): Uint8Array {
  readConfigSchema(schema, limits);
  const parts: Uint8Array[] = [];
  const reader = new ByteReader(wasm);
  let kept = 0;
  reader.skip(8, "the header");
  while (reader.remaining > 0) {
    const start = reader.offset;
    const custom = reader.byte("a section") === 0;
    const outerEnd = reader.enter(reader.u32("the size of a section"), "a section");
    const ours = custom && isConfigSchema(reader);
    reader.offset = reader.end;
    reader.leave(outerEnd, "a section");
    if (!ours) continue;
    parts.push(wasm.subarray(kept, start));
    kept = reader.offset;
  }
  parts.push(wasm.subarray(kept));
  const size = leb128(1 + nameBytes.length + schema.length);
  parts.push(Uint8Array.of(0, ...size, nameBytes.length), nameBytes, schema);
  return Buffer.concat(parts);
}

const nameBytes = Buffer.from(configSchemaSection);

/** Reads the name of a custom section. @returns whether it is that of the schema */
export function isConfigSchema(reader: ByteReader): boolean {
  return readSectionName(reader) === configSchemaSection;
}

/** Longer names of sections mean nothing here. */
const maxKnownName = 64;

/** Reads the name of a custom section; the empty text for one that is too long to be known. */
export function readSectionName(reader: ByteReader): string {
  const what = "a custom section's name";
  const length = reader.u32(`the length of ${what}`);
  const start = reader.offset;
  reader.skip(length, what);
  return length > maxKnownName ? "" : String.fromCharCode(...reader.bytes.subarray(start, reader.offset));
}

function leb128(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...leb128(value >>> 7)];
}
