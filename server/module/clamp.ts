/**
 * Lowers the maxima of memories and tables in a binary. V8 holds a guest to its declared
 * maximum and to nothing else, so the declaration is where a limit must stand.
 *
 * @module
 */

import type { ByteReader } from "./reader.ts";
import { refused } from "./value-types.ts";

/** Bytes of a module to be replaced. */
export interface Patch {
  /** Where the replaced bytes begin. */
  start: number;
  /** Where they end. */
  end: number;
  /** What takes their place. */
  replacement: Uint8Array;
}

/** The size of a memory (in pages) or of a table (in entries), as declared. */
export interface DeclaredSize {
  initial: number;
  maximum: number | undefined;
  /** Where the declaration begins and ends in the module. */
  start: number;
  end: number;
}

const hasMaximum = 0x01;
const isShared = 0x02;
const is64Bit = 0x04;
const hasPageSize = 0x08;

/** Reads a memory's or table's declared size; refuses shared and 64-bit ones. `what` is `memory` or `table`. */
export function readDeclaredSize(reader: ByteReader, what: "memory" | "table"): DeclaredSize {
  const start = reader.offset;
  const flags = reader.byte(`the flags of a ${what}`);
  if (flags & is64Bit) throw refused(what === "memory" ? "memory64" : "64-bit tables", start);
  if (flags & isShared) throw refused(`a shared ${what}`, start);
  if (flags & hasPageSize) throw refused("custom page sizes", start);
  if (flags > hasMaximum) throw reader.malformed(`the flags of a ${what} are 0x${flags.toString(16)}`, start);
  const initial = reader.u32(`the initial size of a ${what}`);
  const maximum = flags & hasMaximum ? reader.u32(`the maximum size of a ${what}`) : undefined;
  if (maximum !== undefined && maximum < initial) {
    throw reader.malformed(`a ${what} has the maximum ${maximum} below its initial size ${initial}`, start);
  }
  return { initial, maximum, start, end: reader.offset };
}

/** The patch that holds a declared size to `limit`, or nothing where it keeps it already. */
export function clampDeclaredSize(size: DeclaredSize, limit: number): Patch | undefined {
  if (size.maximum !== undefined && size.maximum <= limit) return undefined;
  return {
    start: size.start,
    end: size.end,
    replacement: Uint8Array.from([hasMaximum, ...encodeU32(size.initial), ...encodeU32(limit)]),
  };
}

/** How many bytes the module gains by these patches; negative when it loses some. */
export function growthOf(patches: readonly Patch[]): number {
  return patches.reduce((sum, patch) => sum + patch.replacement.length - (patch.end - patch.start), 0);
}

/** The patch for a section's size field, from `start` to `end`, once its body has the length `bodyBytes`. */
export function resizeSection(start: number, end: number, bodyBytes: number): Patch {
  return { start, end, replacement: Uint8Array.from(encodeU32(bodyBytes)) };
}

/** Applies patches, which must be in order and apart. Returns `bytes` itself when there are none. */
export function applyPatches(bytes: Uint8Array, patches: readonly Patch[]): Uint8Array {
  if (patches.length === 0) return bytes;
  const patched = new Uint8Array(bytes.length + growthOf(patches));
  let read = 0;
  let written = 0;
  for (const { start, end, replacement } of patches) {
    patched.set(bytes.subarray(read, start), written);
    written += start - read;
    patched.set(replacement, written);
    written += replacement.length;
    read = end;
  }
  patched.set(bytes.subarray(read), written);
  return patched;
}

function encodeU32(value: number): number[] {
  const encoded: number[] = [];
  let rest = value;
  while (rest > 0x7f) {
    encoded.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  encoded.push(rest);
  return encoded;
}
