/**
 * The book of quarantined modules as a file. The supervisor writes it while no server process lives, the server
 * process while it does.
 *
 * @module
 */

import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { Book, BookEntry } from "./quarantine-book.ts";

/** What was read. */
export interface BookRead {
  readonly book: Book;
  /** Why the file could not be used, when there is one: the book is empty then. */
  readonly problem: string | undefined;
}

/** Reads the book; an empty one when there is no file. */
export function readBook(path: string): BookRead {
  try {
    const { modules } = JSON.parse(readFileSync(path, "utf8")) as { modules: unknown };
    if (!Array.isArray(modules) || !modules.every(isEntry)) throw new Error("it lists no modules");
    return { book: new Map(modules.map((entry) => [entry.digest, entry])), problem: undefined };
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === "ENOENT";
    return { book: new Map(), problem: missing ? undefined : `${path}: ${(error as Error).message}` };
  }
}

/** Writes the book, so that a reader finds the old one or the new one. */
export function writeBook(path: string, book: Book): void {
  const next = `${path}.next`;
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(next, `${JSON.stringify({ modules: [...book.values()] }, undefined, 2)}\n`, { mode: 0o600 });
  renameSync(next, path);
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
