/**
 * What a data folder holds at every moment at which a process that writes to it could be killed. A process that is
 * killed leaves its files as they are at that moment, so a copy of them is what the next process finds.
 *
 * It listens in on the calls by which files and the database are written, before and after each.
 *
 * @module
 */

import { cpSync, existsSync, readdirSync, statSync, truncateSync } from "node:fs";
import files, { mkdtemp, open, rm } from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { DatabaseSync, StatementSync } from "node:sqlite";

/** SQLite's journal: its header, and each page with a header of its own. Source: https://www.sqlite.org/walformat.html */
const walHeaderBytes = 32;
const walFrameBytes = 24 + 4_096;

/** A copy of the folder, and the moment it was made. */
export interface CrashPoint {
  readonly moment: string;
  readonly folder: string;
}

/** Copies a folder at every write. */
export class CrashPoints implements AsyncDisposable {
  readonly #folder: string;
  readonly #copies: string;
  readonly #restore: (() => void)[] = [];
  #points: CrashPoint[] = [];
  #number = 0;
  #watching = false;

  private constructor(folder: string, copies: string) {
    this.#folder = folder;
    this.#copies = copies;
  }

  /** Listens in on all writes of this process to the folder; the store must not be in a thread of its own. */
  static async over(folder: string): Promise<CrashPoints> {
    const points = new CrashPoints(folder, await mkdtemp(join(tmpdir(), "leat-crash-")));
    for (const name of ["mkdir", "rename", "unlink", "rm", "open"] as const) points.#listen(files, name);
    syncBuiltinESMExports();
    const handle = await open(import.meta.filename);
    const prototype = Object.getPrototypeOf(handle) as typeof handle;
    await handle.close();
    points.#listen(prototype, "writeFile");
    points.#listen(prototype, "sync");
    points.#listen(DatabaseSync.prototype, "exec");
    points.#listen(StatementSync.prototype, "run");
    return points;
  }

  /** All moments during the work. */
  async during(work: () => Promise<unknown>): Promise<readonly CrashPoint[]> {
    this.#points = [];
    this.#watching = true;
    try {
      await work();
    } finally {
      this.#watching = false;
    }
    return this.#points;
  }

  /** This moment. */
  now(): void {
    this.#copy("between changes");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const restore of this.#restore) restore();
    syncBuiltinESMExports();
    await rm(this.#copies, { recursive: true, force: true });
  }

  #listen<Name extends string>(on: Partial<Record<Name, unknown>>, name: Name): void {
    const original = on[name] as (...args: unknown[]) => unknown;
    const points = this;
    const listening = function (this: unknown, ...args: unknown[]): unknown {
      points.#copy(`before ${name}`);
      const journalBytes = points.#journalBytes();
      const result = original.apply(this, args);
      if (!(result instanceof Promise)) {
        const copy = points.#copy(`after ${name}`);
        if (copy !== undefined && args[0] === "COMMIT") points.#tearJournal(copy, journalBytes);
        return result;
      }
      return result.then((value) => {
        points.#copy(`after ${name}`);
        return value;
      });
    };
    on[name] = listening as (typeof on)[Name];
    this.#restore.push(() => {
      on[name] = original as (typeof on)[Name];
    });
  }

  #copy(moment: string): string | undefined {
    if (!this.#watching || !existsSync(this.#folder)) return undefined;
    const folder = join(this.#copies, String(++this.#number));
    // The index of the journal lives in shared memory, and is made anew by whoever opens the file next.
    cpSync(this.#folder, folder, { recursive: true, filter: (source) => !source.endsWith("-shm") });
    this.#points.push({ moment, folder });
    // A file that was being written may have any part of its bytes.
    if (moment === "after writeFile") this.#tearFiles(folder);
    return folder;
  }

  #tearFiles(whole: string): void {
    const partial = readdirSync(whole, { recursive: true, encoding: "utf8" }).filter((name) =>
      name.endsWith(".partial"),
    );
    for (const name of partial) {
      const folder = join(this.#copies, String(++this.#number));
      cpSync(whole, folder, { recursive: true });
      truncateSync(join(folder, name), Math.floor(statSync(join(folder, name)).size / 2));
      this.#points.push({ moment: `within writeFile of ${basename(name)}`, folder });
    }
  }

  /** A transaction is written to the journal page by page: it may end after each, and within each. */
  #tearJournal(whole: string, before: number): void {
    const after = statSync(this.#journalIn(whole)).size;
    if (after < before) throw new Error("the journal was begun anew meanwhile");
    for (let at = Math.max(before, walHeaderBytes); at < after; at += walFrameBytes) {
      for (const bytes of [at, at + 30, at + walFrameBytes - 1]) {
        const folder = join(this.#copies, String(++this.#number));
        cpSync(whole, folder, { recursive: true });
        truncateSync(this.#journalIn(folder), bytes);
        this.#points.push({ moment: `${bytes - before} bytes into the journal`, folder });
      }
    }
  }

  #journalIn(folder: string): string {
    return join(folder, "leat.sqlite-wal");
  }

  #journalBytes(): number {
    const journal = this.#journalIn(this.#folder);
    return existsSync(journal) ? statSync(journal).size : 0;
  }
}
