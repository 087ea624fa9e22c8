/**
 * Looks a module over before V8 sees it. V8 cannot be interrupted while it compiles, and
 * holds a module to no limits but those it declares: a 21-byte module with a large table
 * aborts the process. One pass over the sections bounds every count, refuses features whose
 * objects escape the limits, and lowers the declared maxima of memory and tables.
 *
 * Function bodies are stepped through for operators that must not run (`operators.ts`); V8 validates them.
 *
 * @module
 */

import { leatError } from "../errors.ts";
import type { Limits } from "../limits.ts";
import { applyPatches, growthOf, type Patch, resizeSection } from "./clamp.ts";
import { configSchemaSection, readConfigSchema, readSectionName, refuseSchema } from "./config-schema.ts";
import { ModuleDraft, type ModuleExport, type ModuleImport } from "./draft.ts";
import { heapCostOf } from "./heap-cost.ts";
import { keepsBounds, nameSection } from "./name-section.ts";
import { ByteReader } from "./reader.ts";
import { type Section, sections } from "./sections.ts";

export type { ModuleExport, ModuleImport } from "./draft.ts";

/** A module that keeps the limits. */
export interface InspectedModule {
  /** The module for V8, with lowered maxima and without names beyond all bounds. The very bytes that were given, where they kept the limits. */
  readonly clamped: Uint8Array;
  readonly imports: readonly ModuleImport[];
  readonly exports: readonly ModuleExport[];
  /**
   * How far the code section moved, in bytes; negative when it moved to the front. Subtract it from
   * the offset in a trap to get the offset in the bytes that were given.
   */
  readonly codeSectionShiftBytes: number;
  /** The JSON Schema of its configuration; empty where it has none. */
  readonly configSchema: string;
  /** The memory in pages of 64 KiB, after clamping; both 0 where the module has none. */
  readonly memory: { readonly initialPages: number; readonly maxPages: number };
  /** The most that an instance takes of the worker's JavaScript heap, in bytes. */
  readonly instanceHeapBytes: number;
}

const headerBytes = 8;
const customSectionId = 0;
const noBytes = new Uint8Array(0);

/**
 * Inspects a module and clamps it to `limits`.
 *
 * @param bytes - the binary; must not change while V8 compiles it
 * @throws LeatError - `MODULE_NOT_WASM`, `MODULE_MALFORMED`, `MODULE_TOO_LARGE`, `MODULE_LIMIT_EXCEEDED`,
 * `MODULE_FEATURE_REFUSED`, `MODULE_SCHEMA_INVALID`, or `MODULE_IMPORT_FORBIDDEN` for the import of anything but a function
 */
export function inspectModule(bytes: Uint8Array, limits: Readonly<Limits>): InspectedModule {
  checkSizeAndHeader(bytes, limits);
  const draft = new ModuleDraft(bytes, limits);
  const patches = readSections(draft);
  const instanceHeapBytes = heapCostOf(draft);
  draft.bound("maxInstanceHeapBytesPerWorker", instanceHeapBytes, "what tables, functions and segments take");
  return {
    clamped: applyPatches(bytes, patches),
    imports: draft.imports,
    exports: draft.exports,
    codeSectionShiftBytes: draft.codeShiftBytes ?? growthOf(patches),
    configSchema: draft.configSchema,
    memory: draft.memory ?? { initialPages: 0, maxPages: 0 },
    instanceHeapBytes,
  };
}

/** What costs nothing to check. @throws LeatError MODULE_TOO_LARGE, MODULE_NOT_WASM */
export function checkSizeAndHeader(
  bytes: Uint8Array,
  { maxModuleBytes }: Pick<Limits, "maxModuleBytes">,
): void {
  if (bytes.length > maxModuleBytes) {
    const measured = { limit: "maxModuleBytes", value: maxModuleBytes, measured: bytes.length };
    throw leatError("MODULE_TOO_LARGE", measured);
  }
  const start = Array.from(bytes.subarray(0, headerBytes));
  const hex = start.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
  const problem = headerProblem(start, hex);
  if (problem !== undefined) throw leatError("MODULE_NOT_WASM", { problem });
}

function headerProblem(start: readonly number[], hex: string): string | undefined {
  if (start.length === 0) return "it is empty";
  if (start[0] === 0x28)
    return "it looks like WebAssembly text; assemble it first, for instance with wat2wasm";
  if (!hex.startsWith("00 61 73 6d")) return `it begins with ${hex}, not with 00 61 73 6d`;
  if (start.length < headerBytes) return `it ends after ${start.length} bytes`;
  if (hex.endsWith("01 00 00 00")) return undefined;
  if (hex.endsWith("01 00")) return "it is a component; guest ABI 1 is for core modules";
  return `its version is ${hex.slice(12)}, not 01 00 00 00`;
}

/** Reads all sections and returns what to change in them. */
function readSections(draft: ModuleDraft): Patch[] {
  const reader = new ByteReader(draft.bytes);
  reader.skip(headerBytes, "the header");
  const patches: Patch[] = [];
  let last: Section | undefined;
  let customSections = 0;
  while (reader.remaining > 0) {
    const start = reader.offset;
    const id = reader.byte("a section");
    if (id === customSectionId) {
      customSections += 1;
      if (customSections > draft.limits.maxCustomSections) {
        draft.bound("maxCustomSections", customSections, "custom sections");
      }
      if (!readCustomSection(reader, draft))
        patches.push({ start, end: reader.offset, replacement: noBytes });
      continue;
    }
    const section = sections.get(id);
    if (section === undefined) throw reader.malformed(`there is no section with the id ${id}`, start);
    if (last === section) throw reader.malformed(`the ${section.name} section appears twice`, start);
    if (last !== undefined && section.order < last.order) {
      throw reader.malformed(`the ${section.name} section follows the ${last.name} section`, start);
    }
    last = section;
    // What changes from here on does not move the code.
    if (section.name === "code") draft.codeShiftBytes = growthOf(patches);
    patches.push(...readSection(reader, section, draft));
  }
  checkBodies(reader, draft);
  return patches;
}

function readSection(reader: ByteReader, section: Section, draft: ModuleDraft): Patch[] {
  const what = `the ${section.name} section`;
  const sizeStart = reader.offset;
  const sizeBytes = reader.u32(`the size of ${what}`);
  const bodyStart = reader.offset;
  const outerEnd = reader.enter(sizeBytes, what);
  draft.patches = [];
  section.read(reader, draft);
  reader.leave(outerEnd, what);
  if (draft.patches.length === 0) return [];
  return [resizeSection(sizeStart, bodyStart, sizeBytes + growthOf(draft.patches)), ...draft.patches];
}

/** @returns whether V8 may have it */
function readCustomSection(reader: ByteReader, draft: ModuleDraft): boolean {
  const outerEnd = reader.enter(reader.u32("the size of a custom section"), "a custom section");
  const name = readSectionName(reader);
  const start = reader.offset;
  let kept = true;
  if (name === configSchemaSection) {
    if (draft.configSchema !== "") refuseSchema("#", "the module has more than one");
    draft.configSchema = readConfigSchema(reader.bytes.subarray(start, reader.end), draft.limits);
  } else if (name === nameSection) {
    const { end } = reader;
    kept = keepsBounds(reader, draft.limits.maxFunctions);
    reader.end = end;
  }
  reader.offset = reader.end;
  reader.leave(outerEnd, "a custom section");
  return kept;
}

function checkBodies(reader: ByteReader, draft: ModuleDraft): void {
  if (draft.bodyCount !== draft.definedFunctions) {
    throw reader.malformed(`${draft.definedFunctions} functions have ${draft.bodyCount} bodies`);
  }
  const announced = draft.announcedDataSegments;
  if (announced !== undefined && announced !== draft.dataSegments) {
    throw reader.malformed(`${announced} data segments are announced, but there are ${draft.dataSegments}`);
  }
}
