/**
 * What an instance of a module may take of the worker's JavaScript heap. The memory of guests lies outside of that.
 *
 * Upper bounds for V8 14.6, measured: tables of 400,000 functions took 9.6 MB, 50,000 functions 0.8 MB; that each of them was in a table from the
 * beginning 1.2 MB, and that each was put there by an operator 16 MB.
 *
 * @module
 */

import type { ModuleDraft } from "./draft.ts";
import { TableUse } from "./operators.ts";

/** The instance itself, its memory and its imports object. */
const instanceBytes = 16 * 1024;
/** An entry of a table: where to call, with what, and the reference. */
const tableEntryBytes = 24;
/** A function of the module. */
const functionBytes = 16;
/** A function that stands in an element segment: a note of it in a table, until an operator makes it a reference. */
const noteBytes = 24;
const referenceBytes = 320;
/** An entry of an element segment that operators use. */
const entryBytes = 8;
/** A global, with the reference that it may begin with. */
const globalBytes = 72;
/** What is exported or imported is an object, with a name in a dictionary. */
const symbolBytes = 400;

/** The most that one instance takes, in bytes. */
export function heapCostOf(draft: ModuleDraft): number {
  const grows = (draft.tableUse & TableUse.grows) !== 0;
  const refers = (draft.tableUse & TableUse.refers) !== 0;
  const tables = draft.tableSizes.map(({ initial, maximum }) => (grows ? maximum : initial));
  const entries = tables.reduce((sum, size) => sum + size, 0);
  const functions = draft.functionTypes.length;
  const symbols = draft.imports.length + draft.exports.length;
  return (
    instanceBytes +
    entries * tableEntryBytes +
    functions * functionBytes +
    Math.min(functions, draft.elementCount) * (refers ? referenceBytes : noteBytes) +
    draft.elementCount * entryBytes +
    draft.globals.length * globalBytes +
    symbols * symbolBytes
  );
}
