/**
 * What the answers of a server under measurement must be. A server that is fast and wrong measures nothing.
 *
 * @module
 */

import type { TransformResult } from "@leat/proto";
import { makeRecords, uppercased } from "../fixtures.ts";

/** What answers a load gets: its own bytes, or its records' values in upper case. */
export type Expectation = "echo" | "uppercase";

/** Throws unless the result holds the fixture's first records with every value in upper case. */
export function checkResult(result: TransformResult, records: number): void {
  const [failure] = result.failures;
  if (failure)
    throw new Error(`${result.failures.length} records failed: ${failure.message || failure.code}`);
  for (const [index, record] of makeRecords(records).entries()) {
    const expected = uppercased(record.value ?? new Uint8Array());
    const actual = result.batch?.records[index]?.value ?? new Uint8Array();
    if (Buffer.compare(expected, actual) !== 0) throw new Error(`record ${index} is not in upper case`);
  }
}
