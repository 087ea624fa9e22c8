/**
 * What is held against modules, and for how long: a pure function from an abort to the next book.
 *
 * When a process aborts, the ledger names every module that ran, and mostly one of them did it. To hold them all
 * would punish the neighbours of each crash. So:
 *
 * - **One suspect** is quarantined: for a minute, at the next times 5 and 30, then until it is released.
 * - **Several suspects** are put on probation: they go on serving, but one at a time, batch by batch and stage by
 *   stage, with the ledger written each time. If one of them aborts the process again, the ledger names it alone.
 * - Should the ledger name several again, all of them are quarantined: no crash repeats without consequence.
 * - When one of them is named, the others that came under suspicion with it are cleared; so is one that stays on
 *   probation for ten minutes without an abort. That a module was quarantined is remembered for a day.
 *
 * @module
 */

import type { LedgerRow } from "./ledger-format.ts";

/** How long a module is quarantined for its first, second and third abort, in milliseconds. From the fourth on: until it is released. */
export const quarantineMs: readonly number[] = Object.freeze([60_000, 300_000, 1_800_000]);
/** How long a module runs on probation after an abort or after its quarantine, in milliseconds. */
export const probationMs = 600_000;
/** How long after its quarantine a module's next one is a longer one, in milliseconds. */
export const memoryMs = 86_400_000;

/** What is held against one module. */
export interface BookEntry {
  /** `sha256:` and 64 hex digits. */
  readonly digest: string;
  /** How often it was quarantined; 0 for one on probation only. */
  readonly strikes: number;
  /** When it last came under suspicion, in milliseconds since the Unix epoch. */
  readonly sinceMs: number;
  /** Until when it is quarantined; 0 when it is not, "released" for until it is released. */
  readonly heldUntilMs: number | "released";
  /** Why, as a sentence without its end. */
  readonly why: string;
}

/** Everything that is held against modules, by digest. */
export type Book = ReadonlyMap<string, BookEntry>;

/** Whether a module is in quarantine. */
export function isHeld(entry: BookEntry | undefined, nowMs: number): boolean {
  return entry !== undefined && (entry.heldUntilMs === "released" || entry.heldUntilMs > nowMs);
}

/** Until when a module runs on probation, in milliseconds since the Unix epoch; 0 when nothing is held against it. */
export function probationUntilMs(entry: BookEntry | undefined): number {
  if (entry === undefined || entry.heldUntilMs === "released") return 0;
  return Math.max(entry.sinceMs, entry.heldUntilMs) + probationMs;
}

/** The book without what time has cleared. */
function cleared(book: Book, nowMs: number): Map<string, BookEntry> {
  const kept = [...book].filter(([, entry]) => {
    if (isHeld(entry, nowMs) || probationUntilMs(entry) > nowMs) return true;
    return entry.strikes > 0 && probationUntilMs(entry) - probationMs + memoryMs > nowMs;
  });
  return new Map(kept);
}

/** What an abort leads to. */
export interface Verdict {
  /** The book after it. */
  readonly book: Book;
  /** The modules that were quarantined. */
  readonly quarantined: readonly string[];
  /** The modules that were put on probation. */
  readonly suspected: readonly string[];
}

/**
 * Judges an abort.
 *
 * @param rows - what the ledger says ran
 * @param signal - by which the process ended
 */
export function judge(before: Book, rows: readonly LedgerRow[], signal: string, nowMs: number): Verdict {
  const book = cleared(before, nowMs);
  const exact = rows.filter((row) => row.exact);
  const suspects = new Set((exact.length > 0 ? exact : rows).flatMap(({ digests }) => digests));
  const named = suspects.size === 1 || [...suspects].every((digest) => book.has(digest));
  if (suspects.size === 1) clearNeighbours(book, [...suspects].join());
  for (const digest of suspects) {
    const strikes = (book.get(digest)?.strikes ?? 0) + (named ? 1 : 0);
    const forMs = quarantineMs[strikes - 1];
    const others = suspects.size - 1;
    const beside = others === 0 ? "alone" : `with ${others} other${others === 1 ? "" : "s"}`;
    book.set(digest, {
      digest,
      strikes,
      sinceMs: nowMs,
      heldUntilMs: !named ? 0 : forMs === undefined ? "released" : nowMs + forMs,
      why: `the server process was ended by ${signal} while this module ran ${beside}`,
    });
  }
  return {
    book,
    quarantined: named ? [...suspects] : [],
    suspected: named ? [] : [...suspects],
  };
}

/** The most modules that the book remembers; the one that came under suspicion the longest ago gives way. */
const maxEntries = 10_000;

/** The book after a module was found to break workers again and again: it is held as one that was named alone. */
export function holdOne(before: Book, digest: string, why: string, nowMs: number): Book {
  const book = cleared(before, nowMs);
  const strikes = (book.get(digest)?.strikes ?? 0) + 1;
  const forMs = quarantineMs[strikes - 1];
  book.delete(digest);
  for (const oldest of book.keys()) {
    if (book.size < maxEntries) break;
    book.delete(oldest);
  }
  const heldUntilMs = forMs === undefined ? "released" : nowMs + forMs;
  return book.set(digest, { digest, strikes, sinceMs: nowMs, heldUntilMs, why });
}

/** The one of several suspects was found: the others of the same abort have nothing against them any more. */
function clearNeighbours(book: Map<string, BookEntry>, found: string): void {
  const entry = book.get(found);
  if (entry?.strikes !== 0) return;
  for (const [digest, other] of book) {
    if (digest !== found && other.strikes === 0 && other.sinceMs === entry.sinceMs) book.delete(digest);
  }
}
