/**
 * Reads each section of a module into a {@link ModuleDraft}, refuses what Leat does not run
 * and bounds every count before anything is made from it.
 *
 * Source: WebAssembly core specification, 5.5.
 *
 * @module
 */

import { leatError } from "../errors.ts";
import { wasmPageBytes } from "../limits.ts";
import { clampDeclaredSize, readDeclaredSize } from "./clamp.ts";
import { skipConstantExpression } from "./constant-expression.ts";
import type { ModuleDraft, ModuleExport } from "./draft.ts";
import { checkOperators } from "./operators.ts";
import { printable } from "./printable.ts";
import type { ByteReader } from "./reader.ts";
import { readFunctionType, readReferenceType, readValueType, refused } from "./value-types.ts";

/** A section: its place in the order, its name and what reads its body. */
export interface Section {
  readonly order: number;
  readonly name: string;
  readonly read: (reader: ByteReader, draft: ModuleDraft) => void;
}

/** The sections by their id. The order differs from the ids for the two that came later, tag and data count. */
export const sections: ReadonlyMap<number, Section> = new Map([
  [1, { order: 1, name: "type", read: readTypes }],
  [2, { order: 2, name: "import", read: readImports }],
  [3, { order: 3, name: "function", read: readFunctions }],
  [4, { order: 4, name: "table", read: readTables }],
  [5, { order: 5, name: "memory", read: readMemories }],
  [13, { order: 6, name: "tag", read: readTags }],
  [6, { order: 7, name: "global", read: readGlobals }],
  [7, { order: 8, name: "export", read: readExports }],
  [8, { order: 9, name: "start", read: readStart }],
  [9, { order: 10, name: "element", read: readElements }],
  [12, { order: 11, name: "data count", read: readDataCount }],
  [10, { order: 12, name: "code", read: readCode }],
  [11, { order: 13, name: "data", read: readData }],
]);

const maxMemoryPages = 65_536;

const externalKinds = ["function", "table", "memory", "global", "tag"] as const;

function readTypes(reader: ByteReader, draft: ModuleDraft): void {
  const count = reader.vectorLength("types");
  draft.bound("maxTypes", count, "types");
  for (let index = 0; index < count; index += 1) {
    const offset = reader.offset;
    draft.types.push({ offset, ...readFunctionType(reader) });
  }
}

function readTypeIndex(reader: ByteReader, draft: ModuleDraft, what: string): number {
  const offset = reader.offset;
  const index = reader.u32(`the type of ${what}`);
  if (index >= draft.types.length) {
    throw reader.malformed(`${what} has type ${index}, but there are ${draft.types.length} types`, offset);
  }
  return index;
}

function readSymbol(reader: ByteReader, draft: ModuleDraft, what: string): string {
  return reader.name(what, (lengthBytes) => draft.bound("maxSymbolBytes", lengthBytes, what));
}

function readImports(reader: ByteReader, draft: ModuleDraft): void {
  const count = reader.vectorLength("imports");
  draft.bound("maxImports", count, "imports");
  for (let index = 0; index < count; index += 1) {
    const module = readSymbol(reader, draft, "the module name of an import");
    const name = readSymbol(reader, draft, "the name of an import");
    const offset = reader.offset;
    const kind = externalKinds[reader.byte("the kind of an import")];
    if (kind === undefined) throw reader.malformed("an import has an unknown kind", offset);
    if (kind !== "function") {
      throw leatError("MODULE_IMPORT_FORBIDDEN", {
        import: printable(`${module}.${name}`),
        problem: `it is a ${kind}, and only functions may be imported`,
      });
    }
    const type = readTypeIndex(reader, draft, "an import");
    draft.functionTypes.push(type);
    draft.imports.push({ module, name, kind, type: draft.typeText(type) });
  }
}

function readFunctions(reader: ByteReader, draft: ModuleDraft): void {
  const count = reader.vectorLength("functions");
  draft.bound("maxFunctions", count, "functions");
  for (let index = 0; index < count; index += 1) {
    draft.functionTypes.push(readTypeIndex(reader, draft, "a function"));
  }
}

function readTables(reader: ByteReader, draft: ModuleDraft): void {
  const count = reader.vectorLength("tables");
  draft.bound("maxTables", count, "tables");
  for (let index = 0; index < count; index += 1) {
    if (reader.bytes[reader.offset] === 0x40) throw refused("tables with an initial value", reader.offset);
    draft.tables.push(readReferenceType(reader, "a table"));
    const size = readDeclaredSize(reader, "table");
    draft.bound("maxTableEntries", size.initial, `initial size of table ${index}`);
    const { maxTableEntries } = draft.limits;
    const maximum = Math.min(size.maximum ?? maxTableEntries, maxTableEntries);
    draft.tableSizes.push({ initial: size.initial, maximum });
    const patch = clampDeclaredSize(size, maxTableEntries);
    if (patch !== undefined) draft.patches.push(patch);
  }
}

function readMemories(reader: ByteReader, draft: ModuleDraft): void {
  const start = reader.offset;
  const count = reader.vectorLength("memories");
  if (count > 1) throw refused(`${count} memories`, start);
  if (count === 0) return;
  const size = readDeclaredSize(reader, "memory");
  for (const pages of [size.initial, size.maximum ?? 0]) {
    if (pages > maxMemoryPages) throw reader.malformed(`a memory of ${pages} pages is too large`, size.start);
  }
  draft.bound("maxGuestMemoryBytes", size.initial * wasmPageBytes, "initial memory");
  const limitPages = Math.min(maxMemoryPages, Math.floor(draft.limits.maxGuestMemoryBytes / wasmPageBytes));
  const patch = clampDeclaredSize(size, limitPages);
  if (patch !== undefined) draft.patches.push(patch);
  draft.memory = { initialPages: size.initial, maxPages: Math.min(size.maximum ?? limitPages, limitPages) };
}

function readTags(reader: ByteReader, draft: ModuleDraft): void {
  const count = reader.vectorLength("tags");
  draft.bound("maxTags", count, "tags");
  for (let index = 0; index < count; index += 1) {
    const offset = reader.offset;
    const attribute = reader.byte("the attribute of a tag");
    if (attribute !== 0) throw reader.malformed(`a tag has the attribute ${attribute}`, offset);
    const type = readTypeIndex(reader, draft, "a tag");
    draft.bound("maxTagParameters", draft.types[type]?.parameterCount ?? 0, `tag ${index}`);
    draft.tags.push(type);
  }
}

function readGlobals(reader: ByteReader, draft: ModuleDraft): void {
  const count = reader.vectorLength("globals");
  draft.bound("maxGlobals", count, "globals");
  for (let index = 0; index < count; index += 1) {
    const type = readValueType(reader, "a global");
    const offset = reader.offset;
    const mutability = reader.byte("the mutability of a global");
    if (mutability > 3) throw reader.malformed(`a global has the mutability ${mutability}`, offset);
    if (mutability > 1) throw refused("shared globals", offset);
    skipConstantExpression(reader);
    draft.globals.push(mutability === 1 ? `mutable ${type} global` : `${type} global`);
  }
}

/** The text of what an export names, or nothing where there is no such thing. */
function exportedType(draft: ModuleDraft, kind: ModuleExport["kind"], index: number): string | undefined {
  switch (kind) {
    case "function":
    case "tag": {
      const type = (kind === "tag" ? draft.tags : draft.functionTypes)[index];
      return type === undefined ? undefined : draft.typeText(type);
    }
    case "table": {
      const type = draft.tables[index];
      return type === undefined ? undefined : `${type} table`;
    }
    case "memory":
      return draft.memory !== undefined && index === 0 ? "memory" : undefined;
    case "global":
      return draft.globals[index];
  }
}

function readExports(reader: ByteReader, draft: ModuleDraft): void {
  const count = reader.vectorLength("exports");
  draft.bound("maxExports", count, "exports");
  const names = new Set<string>();
  for (let position = 0; position < count; position += 1) {
    const offset = reader.offset;
    const name = readSymbol(reader, draft, "the name of an export");
    if (names.has(name)) throw reader.malformed(`${printable(name)} is exported twice`, offset);
    names.add(name);
    const kind = externalKinds[reader.byte("the kind of an export")];
    if (kind === undefined) throw reader.malformed("an export has an unknown kind", offset);
    const index = reader.u32("the index of an export");
    const type = exportedType(draft, kind, index);
    if (type === undefined) {
      throw reader.malformed(
        `the export ${printable(name)} is ${kind} ${index}, which does not exist`,
        offset,
      );
    }
    draft.exports.push({ name, kind, type });
  }
}

function readStart(reader: ByteReader, draft: ModuleDraft): void {
  const offset = reader.offset;
  const index = reader.u32("the start function");
  if (index >= draft.functionTypes.length) {
    throw reader.malformed(`the start function ${index} does not exist`, offset);
  }
}

/** Flags of an element segment. */
const isPassiveOrDeclarative = 0x01;
const namesTable = 0x02;
const hasExpressions = 0x04;

function readElements(reader: ByteReader, draft: ModuleDraft): void {
  const count = reader.vectorLength("element segments");
  draft.bound("maxElementSegments", count, "element segments");
  for (let index = 0; index < count; index += 1) readElementSegment(reader, draft);
}

function readElementSegment(reader: ByteReader, draft: ModuleDraft): void {
  const offset = reader.offset;
  const flags = reader.u32("the flags of an element segment");
  if (flags > 7) throw reader.malformed(`an element segment has the flags ${flags}`, offset);
  const isActive = (flags & isPassiveOrDeclarative) === 0;
  const saysMore = (flags & namesTable) !== 0;
  if (isActive && saysMore) reader.u32("the table of an element segment");
  if (isActive) skipConstantExpression(reader);
  const usesExpressions = (flags & hasExpressions) !== 0;
  if (!isActive || saysMore) {
    if (usesExpressions) readReferenceType(reader, "an element segment");
    else if (reader.byte("the kind of an element segment") !== 0) {
      throw reader.malformed("an element segment has an unknown kind", offset);
    }
  }
  // V8 keeps the entries of a segment on the worker's heap once the guest uses it: bound them all together.
  const length = reader.vectorLength("elements");
  draft.elementCount += length;
  draft.bound("maxTableEntries", draft.elementCount, "entries of element segments");
  for (let position = 0; position < length; position += 1) {
    if (usesExpressions) skipConstantExpression(reader);
    else reader.u32("an element");
  }
}

function readDataCount(reader: ByteReader, draft: ModuleDraft): void {
  const count = reader.u32("the data count");
  draft.bound("maxDataSegments", count, "data segments");
  draft.announcedDataSegments = count;
}

function readCode(reader: ByteReader, draft: ModuleDraft): void {
  const start = reader.offset;
  const count = reader.vectorLength("function bodies");
  if (count !== draft.definedFunctions) {
    throw reader.malformed(`${draft.definedFunctions} functions have ${count} bodies`, start);
  }
  for (let index = 0; index < count; index += 1) readBody(reader, draft, draft.imports.length + index);
  draft.bodyCount = count;
}

function readBody(reader: ByteReader, draft: ModuleDraft, functionIndex: number): void {
  const sizeBytes = reader.u32("the size of a function body");
  const start = reader.offset;
  if (sizeBytes > draft.limits.maxFunctionBodyBytes) {
    draft.bound("maxFunctionBodyBytes", sizeBytes, `function ${functionIndex} at byte ${start}`);
  }
  const outerEnd = reader.enter(sizeBytes, "a function body");
  const groups = reader.vectorLength("groups of locals");
  let locals = 0;
  for (let group = 0; group < groups; group += 1) {
    locals += reader.u32("a number of locals");
    readValueType(reader, "a local");
  }
  if (locals > draft.limits.maxLocals) {
    draft.bound("maxLocals", locals, `function ${functionIndex} at byte ${start}`);
  }
  draft.tableUse |= checkOperators(reader);
  reader.leave(outerEnd, "a function body");
}

function readData(reader: ByteReader, draft: ModuleDraft): void {
  const start = reader.offset;
  const count = reader.vectorLength("data segments");
  draft.bound("maxDataSegments", count, "data segments");
  if (draft.announcedDataSegments !== undefined && draft.announcedDataSegments !== count) {
    throw reader.malformed(`${count} data segments, but ${draft.announcedDataSegments} are announced`, start);
  }
  for (let index = 0; index < count; index += 1) {
    const offset = reader.offset;
    const flags = reader.u32("the flags of a data segment");
    if (flags > 2) throw reader.malformed(`a data segment has the flags ${flags}`, offset);
    if (flags === 2) reader.u32("the memory of a data segment");
    if (flags !== 1) skipConstantExpression(reader);
    reader.skip(reader.u32("the length of a data segment"), "a data segment");
  }
  draft.dataSegments = count;
}
