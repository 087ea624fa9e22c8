/**
 * What a change of the configuration has brought, in lines.
 *
 * @module
 */

import { print } from "../text-table.ts";

/** A key whose value is another. */
interface Change {
  readonly key: string;
  readonly from: string;
  readonly to: string;
}

/** Prints changes, one a line. */
export async function printChanges(verb: string, changes: readonly Change[]): Promise<void> {
  for (const { key, from, to } of changes)
    await print(`${verb} ${key}: ${from === "" ? "(not set)" : from} -> ${to === "" ? "(not set)" : to}\n`);
}
