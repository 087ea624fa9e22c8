/**
 * The library of guests that misbehave: each named by what it does, with what must come of it.
 *
 * @module
 */

import { readFile } from "node:fs/promises";
import type { Reason, RecordFailureCode } from "../../server/errors.ts";
import { markedNaming, moduleBytes } from "../kit/modules.ts";
import { wat } from "../kit/wat.ts";

/** `failed` is the code of a failure of the guest's own that names none. */
type Code = RecordFailureCode | "failed" | "answered";

/** What a guest does, and what must come of it. */
export type Misbehaviour =
  /** LoadModule refuses the module, or PutPipeline a pipeline of it. */
  | { readonly name: string; readonly refused: readonly Reason[] }
  /** The record fails with this code, or is answered although the guest does more than it should. */
  | {
      readonly name: string;
      readonly record: string | Uint8Array;
      readonly codes: readonly Code[];
    };

const refused = (name: string, ...reasons: Reason[]): Misbehaviour => ({ name, refused: reasons });
const fails = (name: string, ...codes: Code[]): Misbehaviour => ({ name, record: "a", codes });

/** Guests of `misbehaving/NAME.wat`. They misbehave on every record, four that work long for each on small ones alone. */
const files: readonly Misbehaviour[] = [
  refused("no-memory", "MODULE_EXPORT_MISSING"),
  refused("no-transform", "MODULE_EXPORT_MISSING"),
  refused("transform-of-floats", "MODULE_EXPORT_MISMATCH"),
  refused("memory-as-function", "MODULE_EXPORT_MISMATCH"),
  refused("big-memory", "MODULE_LIMIT_EXCEEDED"),
  refused("memory64", "MODULE_FEATURE_REFUSED"),
  refused("shared-memory", "MODULE_FEATURE_REFUSED"),
  refused("big-table", "MODULE_LIMIT_EXCEEDED"),
  refused("many-tables", "MODULE_LIMIT_EXCEEDED"),
  refused("heavy-exceptions", "MODULE_LIMIT_EXCEEDED"),
  refused("imports-memory", "MODULE_IMPORT_FORBIDDEN"),
  refused("imports-unknown", "MODULE_IMPORT_FORBIDDEN"),
  refused("imports-socket", "MODULE_IMPORT_FORBIDDEN"),
  refused("imports-another-type", "MODULE_IMPORT_FORBIDDEN"),
  // V8 has no means to stop it.
  refused("endless-calls", "MODULE_FEATURE_REFUSED"),
  refused("does-not-validate", "MODULE_COMPILE_FAILED"),
  refused("data-beyond-memory", "MODULE_INIT_FAILED"),
  refused("start-loops", "MODULE_WARMUP_FAILED"),
  refused("start-traps", "MODULE_INIT_FAILED"),
  refused("initialize-loops", "MODULE_WARMUP_FAILED"),
  refused("initialize-takes-memory", "MODULE_INIT_FAILED"),
  refused("init-loops", "MODULE_WARMUP_FAILED"),
  refused("init-beyond-memory", "MODULE_INIT_FAILED"),
  refused("traps-without-records", "MODULE_WARMUP_FAILED"),
  fails("divide-by-zero", "trap"),
  fails("float-beyond-integers", "trap"),
  fails("read-beyond-memory", "trap"),
  fails("write-beyond-memory", "trap"),
  fails("call-of-nothing", "trap"),
  fails("call-of-another-type", "trap"),
  fails("uncaught-exception", "trap"),
  fails("begin-beyond-batch", "trap"),
  fails("log-beyond-memory", "trap"),
  fails("counter-beyond-memory", "trap"),
  fails("catches-the-host", "trap"),
  fails("exits", "trap"),
  fails("alloc-beyond-memory", "malformed_output"),
  fails("alloc-at-the-end", "malformed_output"),
  fails("alloc-traps", "trap"),
  fails("alloc-loops", "timeout"),
  fails("deep-locals", "stack_overflow"),
  fails("endless-throwing", "timeout"),
  fails("endless-host-calls", "timeout"),
  fails("endless-logging", "timeout"),
  fails("endless-random", "timeout"),
  fails("endless-copying", "timeout"),
  fails("endless-growing", "timeout"),
  fails("endless-table-growing", "timeout"),
  fails("output-of-all-memory", "output_too_large"),
  fails("output-without-records", "malformed_output"),
  fails("records-out-of-one", "output_too_large"),
  fails("failure-with-many-codes", "malformed_output"),
  fails("failure-of-megabytes", "failed"),
  fails("alloc-calls-the-host", "answered"),
  fails("log-flood", "answered"),
  fails("counter-flood", "answered"),
  fails("counter-of-nan", "answered"),
  fails("writes-to-files", "answered"),
];

const naming = { silent: "", first: "", next: "", negative: "", huge: "" };
type Naming = keyof typeof naming;

/** What `marked.wat` does on a mark, and how it lies about the record that it works on. */
const marks: readonly (Misbehaviour & { readonly module: "marked" | Naming })[] = [
  { name: "loops", module: "marked", record: "!", codes: ["timeout"] },
  { name: "loops and says so", module: "marked", record: "~", codes: ["timeout"] },
  { name: "loops over memory.fill", module: "marked", record: "#", codes: ["timeout"] },
  { name: "traps", module: "marked", record: "%", codes: ["trap"] },
  { name: "recurses", module: "marked", record: "^", codes: ["stack_overflow"] },
  { name: "takes all memory", module: "marked", record: "$", codes: ["out_of_memory"] },
  { name: "returns rubbish", module: "marked", record: "=\u00ff", codes: ["malformed_output"] },
  {
    name: "returns a pointer beyond its memory",
    module: "marked",
    record: `@${"\u007f".repeat(8)}`,
    codes: ["malformed_output"],
  },
  { name: "names no record and traps", module: "silent", record: "%", codes: ["trap"] },
  { name: "names the first record and traps", module: "first", record: "%", codes: ["trap"] },
  { name: "names the next record and loops", module: "next", record: "!", codes: ["timeout"] },
  { name: "names a negative record and loops", module: "negative", record: "!", codes: ["timeout"] },
  { name: "names a record far away and recurses", module: "huge", record: "^", codes: ["stack_overflow"] },
];

/** All of them. */
export const misbehaviours: readonly Misbehaviour[] = [...files, ...marks];

/** The module that misbehaves so. */
export async function misbehavingModule(name: string): Promise<Uint8Array> {
  const mark = marks.find((each) => each.name === name);
  if (mark?.module === "marked") return moduleBytes("marked");
  if (mark !== undefined) return markedNaming(mark.module);
  return wat(await readFile(new URL(`./misbehaving/${name}.wat`, import.meta.url), "utf8"));
}
