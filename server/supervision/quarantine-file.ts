/**
 * The book of quarantined modules as a file. The supervisor writes it while no server process lives, the server
 * process while it does.
 *
 * @module
 */

import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { Clock } from "../clock.ts";
import type { Book, BookEntry } from "./quarantine-book.ts";

/** What was read. */
export interface BookRead {
  readonly book: Book;
  /** Why the file could not be used, when there is one: the book is empty then. */
  readonly problem: string | undefined;
}

/**
 * How far the wall clock is ahead of the process's own, in milliseconds. A process measures with a clock that nobody can set;
 * the next one compares with another, so the file has the wall clock's times.
 */
export function aheadMs(clock: Clock): number {
  return clock.wallMs() - clock.nowMs();
}

/**
 * Reads the book; an empty one when there is no file.
 *
 * @param clock - the reading process's: the book has its times
 */
export function readBook(path: string, clock: Clock): BookRead {
  try {
    const { modules } = JSON.parse(readFileSync(path, "utf8")) as { modules: unknown };
    if (!Array.isArray(modules) || !modules.every(isEntry)) throw new Error("it lists no modules");
    const read = modules.map((entry) => shifted(entry, -aheadMs(clock)));
    return { book: new Map(read.map((entry) => [entry.digest, entry])), problem: undefined };
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === "ENOENT";
    return { book: new Map(), problem: missing ? undefined : `${path}: ${(error as Error).message}` };
  }
}

/**
 * Writes the book, so that a reader finds the old one or the new one.
 *
 * @param clock - the writing process's, whose times the book has
 */
export function writeBook(path: string, book: Book, clock: Clock): void {
  const next = `${path}.next`;
  mkdirSync(dirname(path), { recursive: true });
  const modules = Array.from(book.values(), (entry) => shifted(entry, aheadMs(clock)));
  writeFileSync(next, `${JSON.stringify({ modules }, undefined, 2)}\n`, { mode: 0o600 });
  renameSync(next, path);
}

function shifted(entry: BookEntry, ms: number): BookEntry {
  const { sinceMs, heldUntilMs } = entry;
  const held = heldUntilMs === "released" || heldUntilMs === 0 ? heldUntilMs : heldUntilMs + ms;
  return { ...entry, sinceMs: sinceMs + ms, heldUntilMs: held };
}

function isEntry(value: unknown): value is BookEntry {
  const entry = value as Partial<BookEntry> | null;
  return (
    typeof entry === "object" &&
    entry !== null &&
    /^sha256:[0-9a-f]{64}$/.test(entry.digest ?? "") &&
    Number.isSafeInteger(entry.strikes) &&
    Number.isFinite(entry.sinceMs) &&
    (entry.heldUntilMs === "released" || Number.isFinite(entry.heldUntilMs)) &&
    typeof entry.why === "string"
  );
}
