/**
 * The database's file: opened when it is needed, given up when it fails, set aside when it is broken.
 *
 * Nothing here ends the thread. Whatever goes wrong is thrown to whoever made the call, and the next call
 * begins with a file that is open, new, or tried again.
 *
 * @module
 */

import { existsSync, mkdirSync, renameSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { AuditTable } from "./audit-table.ts";
import { hasRoom } from "./disk-room.ts";
import { LetterTable } from "./letter-table.ts";
import { RegistryTable } from "./registry-table.ts";
import { migrate } from "./schema.ts";
import type { StoreNotice, StoreThreadStart } from "./store-calls.ts";

/** Result codes of SQLite, without their extensions. Source: https://www.sqlite.org/rescode.html */
const ResultCode = { full: 13, corrupt: 11, notADatabase: 26 } as const;

/** The journal may take so much of the disk between checkpoints. */
const maxJournalBytes = 64 * 1024 * 1024;

/** For how much a probe wants room: that of a few letters. */
const probeBytes = 64 * 1024;

/** The statements over an open database. */
export interface Tables {
  readonly letters: LetterTable;
  readonly registry: RegistryTable;
  readonly audit: AuditTable;
}

type State =
  | { readonly t: "closed" }
  | {
      readonly t: "open";
      readonly database: DatabaseSync;
      readonly tables: Tables;
      readonly inode: number;
    };

/** The tables, over one file or in memory. */
export class Storage {
  readonly #start: StoreThreadStart;
  readonly #notify: (notice: StoreNotice) => void;
  #state: State = { t: "closed" };

  constructor(start: StoreThreadStart, notify: (notice: StoreNotice) => void) {
    this.#start = start;
    this.#notify = notify;
  }

  /** Does something with the tables. @throws what SQLite or the file system says */
  use<T>(work: (tables: Tables) => T): T {
    try {
      return work(this.#open());
    } catch (error) {
      this.#recover(error);
      throw error;
    }
  }

  /** As {@link use}, all or nothing. */
  transaction<T>(work: (tables: Tables) => T): T {
    return this.use((tables) => tables.letters.transaction(() => work(tables)));
  }

  /**
   * Refuses what would fill the disk to its end: nothing could be removed any more.
   *
   * @param bytes - about how much will be added
   */
  checkRoom(bytes: number): void {
    const { file } = this.#start;
    if (file === undefined || bytes === 0) return;
    this.#open();
    if (this.#state.t !== "open" || hasRoom(file, bytes)) return;
    // The journal's room can be had back.
    this.#state.database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    if (!hasRoom(file, bytes)) throw new Error("the disk is full, but for what it takes to remove letters");
  }

  /** Writes without changing anything. @throws what SQLite or the file system says, also where letters would find no room */
  probe(): void {
    this.checkRoom(probeBytes);
    this.use(() => {
      if (this.#state.t !== "open") return;
      const { database } = this.#state;
      const version = Number(database.prepare("PRAGMA user_version").get()?.["user_version"]);
      database.exec(`PRAGMA user_version = ${version}`);
    });
  }

  /** Closes the file. */
  close(): void {
    const state = this.#state;
    this.#state = { t: "closed" };
    if (state.t !== "open") return;
    try {
      state.database.close();
    } catch {
      // What a broken file still wanted to write is lost with it; what was acknowledged is written.
    }
  }

  #open(): Tables {
    const { file } = this.#start;
    if (this.#state.t === "open" && file !== undefined && inodeOf(file) !== this.#state.inode) {
      // SQLite goes on writing to a file that was removed, where nobody would find it again.
      this.#notify({ t: "gone", file });
      this.close();
    }
    if (this.#state.t === "closed") {
      // Records are nobody else's business.
      if (file !== undefined) mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
      try {
        this.#state = this.#connect();
      } catch (error) {
        if (file === undefined || !isBroken(error)) throw error;
        this.#setAside(file, error);
        this.#state = this.#connect();
      }
    }
    return this.#state.tables;
  }

  #connect(): Extract<State, { t: "open" }> {
    const { file, maxLockMs, maxPages } = this.#start;
    const database = new DatabaseSync(file ?? ":memory:", { timeout: maxLockMs });
    try {
      // Takes effect in a new file only, before anything is written.
      database.exec("PRAGMA auto_vacuum = INCREMENTAL");
      database.exec("PRAGMA journal_mode = WAL");
      // An acknowledged letter is on the disk, not in its cache.
      database.exec("PRAGMA synchronous = FULL");
      database.exec(`PRAGMA journal_size_limit = ${maxJournalBytes}`);
      if (maxPages !== undefined) database.exec(`PRAGMA max_page_count = ${maxPages}`);
      migrate(database);
      const letters = new LetterTable(database);
      letters.check();
      const tables = {
        letters,
        registry: new RegistryTable(database),
        audit: new AuditTable(database),
      };
      return { t: "open", database, tables, inode: file === undefined ? 0 : inodeOf(file) };
    } catch (error) {
      database.close();
      throw error;
    }
  }

  /** A broken file is set aside at once, so that it fails one call only; one that cannot be used is opened anew. */
  #recover(error: unknown): void {
    const { file } = this.#start;
    if (file === undefined || this.#state.t === "closed" || codeOf(error) === undefined) return;
    if (codeOf(error) === ResultCode.full) return;
    this.close();
    if (isBroken(error)) this.#setAside(file, error);
  }

  #setAside(file: string, error: unknown): void {
    let to = `${file}.broken-${new Date().toISOString().replaceAll(/[:.]/g, "-")}`;
    for (let again = 2; existsSync(to); again++) to = `${to.replace(/~\d+$/, "")}~${again}`;
    // The journal goes with it under the name that SQLite looks for, so that nothing is lost to a repair.
    for (const suffix of ["-wal", "-shm", ""]) {
      if (existsSync(file + suffix)) renameSync(file + suffix, to + suffix);
    }
    this.#notify({ t: "set-aside", file, to, problem: problemOf(error) });
  }
}

/** What went wrong, in words. */
export function problemOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function inodeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.ino ?? -1;
}

function isBroken(error: unknown): boolean {
  const code = codeOf(error);
  return code === ResultCode.corrupt || code === ResultCode.notADatabase;
}

/** SQLite's result code; undefined for what does not come from SQLite. */
function codeOf(error: unknown): number | undefined {
  const { errcode } = error as { errcode?: number };
  return typeof errcode === "number" ? errcode & 0xff : undefined;
}
