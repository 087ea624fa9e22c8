/**
 * The server process's view of the book: which modules must not run, which run on probation, and the operator's release.
 *
 * @module
 */

import type { Clock } from "../clock.ts";
import { type LeatError, leatError } from "../errors.ts";
import { type Book, type BookEntry, holdOne, isHeld, probationUntilMs } from "./quarantine-book.ts";
import { aheadMs, readBook, writeBook } from "./quarantine-file.ts";

/** Modules in quarantine. */
export class Quarantine {
  /** Why the file could not be read, when there is one. */
  readonly problem: string | undefined;
  /** Called when a module is held or released; not when its time has passed. */
  onChange: () => void = () => {};
  /** Called with the digest of each module that is held from now on. */
  onHeld: (digest: string) => void = () => {};
  readonly #path: string | undefined;
  readonly #clock: Clock;
  #book: Book;

  /** @param path - the book's file; without one the quarantine ends with the process */
  constructor(path: string | undefined, clock: Clock) {
    this.#path = path;
    this.#clock = clock;
    const read = path === undefined ? { book: new Map(), problem: undefined } : readBook(path, clock);
    this.#book = read.book;
    this.problem = read.problem;
  }

  /** What is held against a module that must not run now. */
  held(digest: string): BookEntry | undefined {
    if (this.#book.size === 0) return undefined;
    const entry = this.#book.get(digest);
    return isHeld(entry, this.#clock.nowMs()) ? entry : undefined;
  }

  /** Everything that is held now, the longest held first. */
  list(): BookEntry[] {
    const nowMs = this.#clock.nowMs();
    const held = [...this.#book.values()].filter((entry) => isHeld(entry, nowMs));
    return held.sort((a, b) => a.sinceMs - b.sinceMs);
  }

  /** Until when a module runs on probation, in milliseconds since the Unix epoch; 0 for one against which nothing is held. */
  probationUntilMs(digest: string): number {
    return probationUntilMs(this.#book.get(digest));
  }

  /** Whether nothing is held against any module, nor was of late. */
  get empty(): boolean {
    return this.#book.size === 0;
  }

  /** @returns MODULE_QUARANTINED for a module that must not run now */
  refusal(digest: string, module: string): LeatError | undefined {
    const entry = this.held(digest);
    if (entry === undefined) return undefined;
    const wall = (ms: number): string => new Date(ms + aheadMs(this.#clock)).toISOString();
    return leatError("MODULE_QUARANTINED", {
      module,
      digest,
      since: wall(entry.sinceMs),
      until: entry.heldUntilMs === "released" ? "it is released" : wall(entry.heldUntilMs),
      problem: entry.why,
    });
  }

  /**
   * Refuses a module in quarantine.
   *
   * @throws LeatError MODULE_QUARANTINED
   */
  check(digest: string, module: string): void {
    const refused = this.refusal(digest, module);
    if (refused !== undefined) throw refused;
  }

  /**
   * Holds a module from now on.
   *
   * @param why - as a sentence without its end
   * @throws Error when the book cannot be written; the module is held in this process all the same
   */
  hold(digest: string, why: string): void {
    this.#book = holdOne(this.#book, digest, why, this.#clock.nowMs());
    this.onHeld(digest);
    this.onChange();
    if (this.#path !== undefined) writeBook(this.#path, this.#book, this.#clock);
  }

  /** Forgets all that is held against a module. @returns whether it was in quarantine */
  release(digest: string): boolean {
    const held = this.held(digest) !== undefined;
    const book = new Map(this.#book);
    if (!book.delete(digest)) return false;
    if (this.#path !== undefined) writeBook(this.#path, book, this.#clock);
    this.#book = book;
    this.onChange();
    return held;
  }
}
