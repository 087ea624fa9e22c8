/**
 * Room on the disk: what is added must leave enough to remove something again, which takes room as well.
 *
 * @module
 */

import { statfsSync, statSync } from "node:fs";
import { dirname } from "node:path";
import type { Change } from "./store-calls.ts";

/** So much of the disk stays free, or this share of a small one. */
const reserveBytes = 8 * 1024 * 1024;
const reserveShare = 0.1;
/** What a letter's row and its index entries take beside its own bytes, and pages that are not full. */
const rowBytes = 2_048;
const pageFactor = 1.25;

/** About how much changes add to the database. */
export function addedBytes(changes: readonly Change[]): number {
  let bytes = 0;
  for (const change of changes) {
    if (change.t !== "add") continue;
    for (const { record, stageInput } of change.letters)
      bytes += rowBytes + (record.length + (stageInput?.length ?? 0)) * pageFactor;
  }
  return bytes;
}

/** Whether a database may grow by so much. */
export function hasRoom(file: string, bytes: number): boolean {
  const { bavail, blocks, bsize } = statfsSync(dirname(file));
  // Some file systems do not tell.
  if (blocks === 0) return true;
  const reserve = Math.min(reserveBytes, blocks * bsize * reserveShare);
  // What is in the journal moves to the file one day, which grows by as much then; and what is added takes both.
  const journalBytes = statSync(`${file}-wal`, { throwIfNoEntry: false })?.size ?? 0;
  return bavail * bsize >= reserve + journalBytes + 2 * bytes;
}
