/**
 * What the main thread asks of the store's thread, and what comes back.
 *
 * @module
 */

import type { AuditDraft, AuditEntry, AuditPoint } from "./audit-entry.ts";
import type { AuditBounds, AuditRetention, AuditScan, EndedChange } from "./audit-log.ts";
import type { AuditCheck } from "./audit-walk.ts";
import type {
  DeadLetterDraft,
  DeadLetterInfo,
  KeptDeadLetter,
  LetterFilter,
  LetterTotals,
} from "./dead-letter-store.ts";
import type { RegistryStep, RevisionInfo, StoredRegistry, StoredRevision } from "./registry-store.ts";

/** What the store's thread is started with. */
export interface StoreThreadStart {
  /** The database's file; undefined keeps everything in memory. */
  readonly file: string | undefined;
  /** How long to wait for another process that has the file locked. */
  readonly maxLockMs: number;
  /** How many pages the file may have; undefined for as many as the disk takes. */
  readonly maxPages: number | undefined;
}

/** One change. Those that wait together are made in one transaction. */
export type Change =
  | { readonly t: "add"; readonly letters: readonly DeadLetterDraft[] }
  | { readonly t: "remove"; readonly ids: readonly string[] }
  | { readonly t: "replayed"; readonly id: string; readonly attempts: number };

/** A place between letters, in the order of their times. */
export interface LetterPosition {
  readonly timeMs: number;
  readonly seq: number;
}

/** Every call: what goes there and what comes back. */
export interface StoreCalls {
  /** Makes changes, all or none. Gives how many letters each has added, removed or changed, and what is kept then. */
  change: {
    request: { changes: readonly Change[] };
    reply: { counts: readonly number[]; totals: LetterTotals };
  };
  list: {
    request: { filter: LetterFilter; count: number; before: LetterPosition | undefined };
    reply: {
      letters: readonly DeadLetterInfo[];
      next: LetterPosition | undefined;
      total: number;
    };
  };
  get: { request: { id: string }; reply: KeptDeadLetter | undefined };
  /** The next letters with their records, oldest first, up to the letter that was the newest when reading began. */
  read: {
    request: {
      filter: LetterFilter;
      count: number;
      maxBytes: number;
      after: LetterPosition | undefined;
      upToSeq: number | undefined;
    };
    reply: {
      letters: readonly KeptDeadLetter[];
      next: LetterPosition | undefined;
      upToSeq: number;
    };
  };
  /** Removes some letters of those that were there when purging began. */
  purge: {
    request: { filter: LetterFilter; count: number; upToSeq: number | undefined };
    reply: { removed: number; upToSeq: number; totals: LetterTotals };
  };
  /** Removes some of the letters that are too old or too many. */
  retain: {
    request: { beforeMs: number; maxBytes: number; count: number };
    reply: { removed: number; totals: LetterTotals };
  };
  totals: { request: Record<never, never>; reply: LetterTotals };
  /** Finds out whether something could be written, by writing what is there already. */
  probe: { request: Record<never, never>; reply: true };
  /** Reads which modules and pipelines there are. */
  readRegistry: { request: Record<never, never>; reply: StoredRegistry };
  /** Reads the kept revisions of a pipeline, oldest first. */
  readRevisions: { request: { pipeline: string }; reply: readonly RevisionInfo[] };
  /** Reads one of them. */
  readRevision: { request: { pipeline: string; revision: number }; reply: StoredRevision | undefined };
  /** Takes all steps or none. */
  changeRegistry: { request: { steps: readonly RegistryStep[] }; reply: true };
  /** Writes down that a change begins. */
  beginAudit: { request: { id: string; draft: AuditDraft }; reply: true };
  /** Adds entries to the audit log, all or none. */
  appendAudit: { request: { ended: readonly EndedChange[] }; reply: AuditBounds };
  /** Makes entries of changes that another run of a server has begun and not ended. Gives how many. */
  recoverAudit: {
    request: { timeMs: number; run: string };
    reply: { interrupted: number; bounds: AuditBounds };
  };
  /** Removes entries that are too old or too many. Gives how many. */
  retainAudit: { request: AuditRetention; reply: { removed: number; bounds: AuditBounds } };
  getAudit: { request: { sequence: number }; reply: AuditEntry | undefined };
  listAudit: {
    request: AuditScan;
    reply: { entries: readonly AuditEntry[]; next: number | undefined };
  };
  checkAudit: { request: { after: AuditPoint; count: number }; reply: AuditCheck };
  /** Closes the file and ends the thread. */
  close: { request: Record<never, never>; reply: true };
}

/** The name of a call. */
export type StoreCallName = keyof StoreCalls;

/** A call on its way to the thread. */
export type StoreCall = {
  [Name in StoreCallName]: {
    readonly number: number;
    readonly name: Name;
    readonly request: StoreCalls[Name]["request"];
  };
}[StoreCallName];

/** What the thread sends. */
export type FromStoreThread =
  | { readonly t: "reply"; readonly number: number; readonly value: StoreCalls[StoreCallName]["reply"] }
  | { readonly t: "failed"; readonly number: number; readonly problem: string }
  | StoreNotice;

/** Something that an operator should know. */
export type StoreNotice =
  | { readonly t: "set-aside"; readonly file: string; readonly to: string; readonly problem: string }
  | { readonly t: "gone"; readonly file: string };
