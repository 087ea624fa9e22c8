import { leatError } from "../errors.ts";
import type { Limits } from "../limits.ts";
import type { Patch } from "./clamp.ts";
import { functionTypeText } from "./value-types.ts";

/** Something a module imports. Only functions may be. */
export interface ModuleImport {
  readonly module: string;
  readonly name: string;
  readonly kind: "function";
  /** The type's text, such as `(i32, i32) -> i64` or `() -> ()`. */
  readonly type: string;
}

/** Something a module exports. */
export interface ModuleExport {
  readonly name: string;
  readonly kind: "function" | "table" | "memory" | "global" | "tag";
  /** The type's text: `(i32) -> i32`, `funcref table`, `memory`, `i32 global`, `mutable i32 global`, `(i32) -> ()`. */
  readonly type: string;
}

/** What the sections read so far have told of a module. */
export class ModuleDraft {
  readonly bytes: Uint8Array;
  readonly limits: Readonly<Limits>;
  /** Where each type begins, and its parameters and results. */
  readonly types: { offset: number; parameterCount: number; resultCount: number }[] = [];
  /** The type of each function, imported ones first. */
  readonly functionTypes: number[] = [];
  /** The reference type of each table. */
  readonly tables: string[] = [];
  /** The entries of each table: at the beginning, and at most. */
  readonly tableSizes: { initial: number; maximum: number }[] = [];
  /** What the functions do with tables, as bits of `TableUse`. Nobody else does anything with them. */
  tableUse = 0;
  /** The memory, once it is declared. */
  memory: { initialPages: number; maxPages: number } | undefined;
  /** The type of each tag. */
  readonly tags: number[] = [];
  /** The text of each global's type. */
  readonly globals: string[] = [];
  readonly imports: ModuleImport[] = [];
  readonly exports: ModuleExport[] = [];
  /** Entries of all element segments. */
  elementCount = 0;
  /** What the data count section announced. */
  announcedDataSegments: number | undefined;
  dataSegments = 0;
  /** The JSON Schema of its configuration; empty where there is none. */
  configSchema = "";
  /** How far the code section moves, by what changes before it; undefined while there is none. */
  codeShiftBytes: number | undefined = undefined;
  /** Bodies in the code section. */
  bodyCount = 0;
  /** Replacements inside the section that is being read. */
  patches: Patch[] = [];

  constructor(bytes: Uint8Array, limits: Readonly<Limits>) {
    this.bytes = bytes;
    this.limits = limits;
  }

  /** Functions that the module defines itself. */
  get definedFunctions(): number {
    return this.functionTypes.length - this.imports.length;
  }

  /** The text of a declared function type. */
  typeText(typeIndex: number): string {
    const type = this.types[typeIndex];
    return type === undefined ? "?" : functionTypeText(this.bytes, type.offset);
  }

  /** Throws `MODULE_LIMIT_EXCEEDED` where `measured` is above the limit. */
  bound(limit: keyof Limits, measured: number, where: string): void {
    const value = this.limits[limit];
    if (measured > value) throw leatError("MODULE_LIMIT_EXCEEDED", { limit, value, measured, where });
  }
}
