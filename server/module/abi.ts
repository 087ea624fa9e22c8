/**
 * Guest ABI 1 as the server enforces it. `docs/guest-abi.md` is its text for module authors.
 *
 * @module
 */

import { leatError } from "../errors.ts";
import type { InspectedModule, ModuleExport, ModuleImport } from "./inspect.ts";
import { printable } from "./printable.ts";

/** The ABI's name in listings. */
export const abiName = "leat/1";

/** The module names from which a guest may import. */
export const hostModule = "leat";
export const wasiModule = "wasi_snapshot_preview1";

/** What a guest exports. `required` ones must be there; the others must have this type if they are. */
export const guestExports = {
  memory: { kind: "memory", type: "memory", required: true },
  leat_alloc: { kind: "function", type: "(i32) -> i32", required: true },
  leat_transform: { kind: "function", type: "(i32, i32) -> i64", required: true },
  leat_init: { kind: "function", type: "(i32, i32) -> i64", required: false },
  _initialize: { kind: "function", type: "() -> ()", required: false },
} as const;

/** The levels of `leat.log`. */
export const guestLogLevels = { debug: 0, info: 1, warn: 2, error: 3 } as const;

/** The functions of `leat` that a guest may import, with their types. */
export const hostFunctions: Readonly<Record<string, string>> = {
  begin_record: "(i32) -> ()",
  log: "(i32, i32, i32) -> ()",
  now_ms: "() -> i64",
  counter_add: "(i32, i32, f64) -> ()",
};

/**
 * The functions of WASI preview 1 that a guest may import. Toolchains link in most of them
 * whether the program uses them or not, so all are offered but those for sockets; what they
 * can reach is nothing (`wasi.ts`).
 *
 * Source: https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md
 */
export const wasiFunctions: Readonly<Record<string, string>> = {
  args_get: "(i32, i32) -> i32",
  args_sizes_get: "(i32, i32) -> i32",
  environ_get: "(i32, i32) -> i32",
  environ_sizes_get: "(i32, i32) -> i32",
  clock_res_get: "(i32, i32) -> i32",
  clock_time_get: "(i32, i64, i32) -> i32",
  fd_advise: "(i32, i64, i64, i32) -> i32",
  fd_allocate: "(i32, i64, i64) -> i32",
  fd_close: "(i32) -> i32",
  fd_datasync: "(i32) -> i32",
  fd_fdstat_get: "(i32, i32) -> i32",
  fd_fdstat_set_flags: "(i32, i32) -> i32",
  fd_fdstat_set_rights: "(i32, i64, i64) -> i32",
  fd_filestat_get: "(i32, i32) -> i32",
  fd_filestat_set_size: "(i32, i64) -> i32",
  fd_filestat_set_times: "(i32, i64, i64, i32) -> i32",
  fd_pread: "(i32, i32, i32, i64, i32) -> i32",
  fd_prestat_get: "(i32, i32) -> i32",
  fd_prestat_dir_name: "(i32, i32, i32) -> i32",
  fd_pwrite: "(i32, i32, i32, i64, i32) -> i32",
  fd_read: "(i32, i32, i32, i32) -> i32",
  fd_readdir: "(i32, i32, i32, i64, i32) -> i32",
  fd_renumber: "(i32, i32) -> i32",
  fd_seek: "(i32, i64, i32, i32) -> i32",
  fd_sync: "(i32) -> i32",
  fd_tell: "(i32, i32) -> i32",
  fd_write: "(i32, i32, i32, i32) -> i32",
  path_create_directory: "(i32, i32, i32) -> i32",
  path_filestat_get: "(i32, i32, i32, i32, i32) -> i32",
  path_filestat_set_times: "(i32, i32, i32, i32, i64, i64, i32) -> i32",
  path_link: "(i32, i32, i32, i32, i32, i32, i32) -> i32",
  path_open: "(i32, i32, i32, i32, i32, i64, i64, i32, i32) -> i32",
  path_readlink: "(i32, i32, i32, i32, i32, i32) -> i32",
  path_remove_directory: "(i32, i32, i32) -> i32",
  path_rename: "(i32, i32, i32, i32, i32, i32) -> i32",
  path_symlink: "(i32, i32, i32, i32, i32) -> i32",
  path_unlink_file: "(i32, i32, i32) -> i32",
  poll_oneoff: "(i32, i32, i32, i32) -> i32",
  proc_exit: "(i32) -> ()",
  proc_raise: "(i32) -> i32",
  random_get: "(i32, i32) -> i32",
  sched_yield: "() -> i32",
};

const offeredModules: ReadonlyMap<string, Readonly<Record<string, string>>> = new Map([
  [hostModule, hostFunctions],
  [wasiModule, wasiFunctions],
]);

/** What a module makes of the ABI's optional parts. */
export interface GuestAbi {
  /** Whether it takes a configuration: it exports `leat_init`. */
  readonly acceptsConfig: boolean;
  /** Whether it says which record it works on: it imports `leat.begin_record`. */
  readonly namesRecords: boolean;
}

/**
 * Checks a module against guest ABI 1. A start section is allowed: it runs under the watchdog.
 *
 * @throws LeatError - `MODULE_IMPORT_FORBIDDEN`, `MODULE_EXPORT_MISSING` or `MODULE_EXPORT_MISMATCH`
 */
export function checkAbi(inspected: Pick<InspectedModule, "imports" | "exports">): GuestAbi {
  for (const imported of inspected.imports) checkImport(imported);
  const exports = new Map(inspected.exports.map((exported) => [exported.name, exported]));
  for (const [name, expected] of Object.entries(guestExports)) {
    checkExport(name, expected, exports.get(name));
  }
  return {
    acceptsConfig: exports.has("leat_init"),
    namesRecords: inspected.imports.some(
      ({ module, name }) => module === hostModule && name === "begin_record",
    ),
  };
}

function checkImport({ module, name, type }: ModuleImport): void {
  const problem = importProblem(module, name, type);
  if (problem === undefined) return;
  throw leatError("MODULE_IMPORT_FORBIDDEN", { import: printable(`${module}.${name}`), problem });
}

function importProblem(module: string, name: string, type: string): string | undefined {
  const functions = offeredModules.get(module);
  if (functions === undefined) {
    return `only functions of ${[...offeredModules.keys()].join(" and ")} may be imported`;
  }
  const expected = Object.hasOwn(functions, name) ? functions[name] : undefined;
  if (expected === undefined) {
    return module === hostModule
      ? `there is no such function; there are ${Object.keys(hostFunctions).join(", ")}`
      : "it is not among the functions of WASI preview 1 that a guest may import";
  }
  return type === expected ? undefined : `its type is ${type}, expected ${expected}`;
}

function checkExport(
  name: string,
  expected: (typeof guestExports)[keyof typeof guestExports],
  found: ModuleExport | undefined,
): void {
  if (found === undefined) {
    if (!expected.required) return;
    throw leatError("MODULE_EXPORT_MISSING", { export: name, expected: described(expected) });
  }
  if (found.kind === expected.kind && found.type === expected.type) return;
  throw leatError("MODULE_EXPORT_MISMATCH", {
    export: name,
    expected: described(expected),
    found: described(found),
  });
}

function described({ kind, type }: { kind: ModuleExport["kind"]; type: string }): string {
  return kind === "function" || kind === "tag" ? `a ${kind} ${type}` : `a ${type}`;
}
