/**
 * The statements over the audit log. Runs in the store's thread.
 *
 * @module
 */

import type { DatabaseSync, SQLOutputValue } from "node:sqlite";
import {
  type AuditActor,
  type AuditDraft,
  type AuditEntry,
  type AuditPoint,
  type AuditTarget,
  auditHash,
  auditInterrupted,
  auditOk,
  noTarget,
  retainAction,
  serverActor,
} from "./audit-entry.ts";
import type { AuditBounds, AuditFilter, AuditRetention, AuditScan } from "./audit-log.ts";
import { auditTriggers } from "./audit-schema.ts";
import type { AuditCheck } from "./audit-walk.ts";

interface Row {
  readonly sequence: number;
  readonly time_ms: number;
  readonly actor_kind: AuditActor["kind"];
  readonly actor_name: string;
  readonly actor_roles: string;
  readonly actor_peer: string;
  readonly action: string;
  readonly target_kind: AuditTarget["kind"];
  readonly target_name: string;
  readonly target_version: string;
  readonly target_digest: string;
  readonly target_signers: string;
  readonly outcome: string;
  readonly detail: string;
  readonly omitted: number;
  readonly previous_hash: string;
  readonly hash: string;
}

/** Entries that one look for those of a filter passes over: other calls of the store go between. */
const scanEntries = 20_000;
/** The share of entries that goes when there are too many, so that the next ones need no retention each. */
const retainShare = 0.01;

/** The audit log in one open database. Whoever calls what writes has begun a transaction. */
export class AuditTable {
  readonly #database: DatabaseSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
    database.exec(auditTriggers);
  }

  /** Writes down that a change begins. */
  begin(id: string, draft: AuditDraft): void {
    this.#database
      .prepare("INSERT INTO audit_intents (id, draft) VALUES (?, ?)")
      .run(id, JSON.stringify(draft));
  }

  /** Adds an entry at the end, and forgets that its change began. */
  append(draft: AuditDraft, intent: string | undefined): void {
    if (intent !== undefined) this.#database.prepare("DELETE FROM audit_intents WHERE id = ?").run(intent);
    const head = this.bound("head");
    const sequence = head.sequence + 1;
    const { timeMs, actor, action, target, outcome, detail, omitted } = draft;
    this.#database
      .prepare(`INSERT INTO audit_entries VALUES (${Array(17).fill("?").join(", ")})`)
      .run(
        sequence,
        timeMs,
        ...[actor.kind, actor.name, JSON.stringify(actor.roles), actor.peer, action],
        ...[target.kind, target.name, target.version, target.digest, JSON.stringify(target.signers)],
        ...[outcome, detail, omitted, head.hash],
        auditHash(head.hash, sequence, draft),
      );
  }

  /** Makes entries of the changes that another run of a server has begun and not ended. @returns how many */
  recover(timeMs: number, run: string): number {
    const rows = this.#database
      .prepare("SELECT id, draft FROM audit_intents WHERE substr(id, 1, length(?1)) <> ?1 ORDER BY rowid")
      .all(run);
    for (const { id, draft } of rows as { id: string; draft: string }[])
      this.append({ ...(JSON.parse(draft) as AuditDraft), timeMs, outcome: auditInterrupted }, id);
    return rows.length;
  }

  /** Removes entries that are too old, and the oldest while there are too many. @returns how many */
  retain({ beforeMs, maxEntries, timeMs }: AuditRetention): number {
    const { sequence: anchor } = this.bound("anchor");
    const { sequence: head } = this.bound("head");
    // The newest entry stays in any case: an anchor without one would stand for nothing.
    const upTo = Math.min(
      head - 1,
      Math.max(this.#lastBefore(beforeMs), lastBeyond(head, anchor, maxEntries)),
    );
    if (upTo <= anchor) return 0;
    const { hash } = this.get(upTo) ?? {};
    if (hash === undefined) throw new Error(`entry ${upTo} of the audit log is missing`);
    this.append(
      {
        timeMs,
        actor: serverActor,
        action: retainAction,
        target: { ...noTarget, kind: "audit-log", name: `up to ${upTo}`, digest: `sha256:${hash}` },
        outcome: auditOk,
        detail: `removed ${upTo - anchor} entries`,
        omitted: 0,
      },
      undefined,
    );
    this.#database
      .prepare("UPDATE audit_bounds SET sequence = ?, hash = ? WHERE bound = 'anchor'")
      .run(upTo, hash);
    this.#database.prepare("DELETE FROM audit_entries WHERE sequence <= ?").run(upTo);
    return upTo - anchor;
  }

  /** The last one of the entries from the beginning that are all from before a time. */
  #lastBefore(timeMs: number): number {
    const row = this.#database
      .prepare("SELECT sequence FROM audit_entries WHERE time_ms >= ? ORDER BY sequence LIMIT 1")
      .get(timeMs) as { sequence: number } | undefined;
    return (row?.sequence ?? this.bound("head").sequence + 1) - 1;
  }

  /** Where the log begins and ends. */
  bounds(): AuditBounds {
    return { anchor: this.bound("anchor"), head: this.bound("head") };
  }

  /** The anchor or the head. */
  bound(bound: "anchor" | "head"): AuditPoint {
    const row = this.#database.prepare("SELECT sequence, hash FROM audit_bounds WHERE bound = ?").get(bound);
    if (row === undefined) throw new Error(`the audit log has no ${bound}`);
    return { ...row } as unknown as AuditPoint;
  }

  /** An entry, where it is kept. */
  get(sequence: number): AuditEntry | undefined {
    const row = this.#database.prepare("SELECT * FROM audit_entries WHERE sequence = ?").get(sequence);
    return row && entryOf(row);
  }

  /** Checks some entries after one that was found good. */
  check(after: AuditPoint, count: number): AuditCheck {
    const anchor = this.bound("anchor");
    // What was removed since was good when it was removed, as the entry about that says.
    let last = anchor.sequence > after.sequence ? anchor : after;
    let retained: string | undefined;
    const broken = (problem: string): AuditCheck => ({
      t: "broken",
      ...{ last, retained, anchor },
      sequence: last.sequence + 1,
      problem,
    });
    const rows = this.#database
      .prepare("SELECT * FROM audit_entries WHERE sequence > ? ORDER BY sequence LIMIT ?")
      .iterate(last.sequence, count);
    let read = 0;
    try {
      for (const row of rows) {
        read++;
        const entry = entryOf(row);
        if (entry.sequence !== last.sequence + 1) return broken("it is missing");
        if (entry.previousHash !== last.hash) return broken("it does not follow from the entry before it");
        if (entry.hash !== auditHash(last.hash, entry.sequence, entry))
          return broken("it does not have the hash of what it says");
        if (entry.action === retainAction) retained = entry.target.digest;
        last = { sequence: entry.sequence, hash: entry.hash };
      }
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      return broken("it has a number that no server wrote");
    }
    if (read === count) return { t: "more", last, retained, anchor };
    const head = this.bound("head");
    if (head.sequence > last.sequence) return broken("it is missing");
    if (head.hash !== last.hash) return broken("the log's head is not its last entry");
    return { t: "end", last, retained, anchor };
  }

  /** Looks for entries before one, newest first. @returns what was found, and before which one to go on, if anywhere */
  list({ filter, before, count }: AuditScan): { entries: AuditEntry[]; next: number | undefined } {
    const from = Math.min(before ?? Number.MAX_SAFE_INTEGER, this.bound("head").sequence + 1);
    const to = from - scanEntries;
    const [conditions, values] = conditionsOf(filter);
    const entries = this.#database
      .prepare(
        `SELECT * FROM audit_entries WHERE sequence < ? AND sequence >= ? ${conditions}
        ORDER BY sequence DESC LIMIT ?`,
      )
      .all(from, to, ...values, count)
      .map(entryOf);
    const last = entries.length === count ? entries.at(-1)?.sequence : undefined;
    const next = last ?? to;
    return { entries, next: next > this.bound("anchor").sequence + 1 ? next : undefined };
  }
}

function lastBeyond(head: number, anchor: number, maxEntries: number): number {
  if (head - anchor <= maxEntries) return anchor;
  // One more makes room for the entry that says so.
  return head - maxEntries + Math.ceil(maxEntries * retainShare) + 1;
}

function conditionsOf(filter: AuditFilter): [sql: string, values: (string | number)[]] {
  const sql: string[] = [];
  const values: (string | number)[] = [];
  const add = (condition: string, ...given: (string | number)[]): void => {
    sql.push(`AND ${condition}`);
    values.push(...given);
  };
  const { sinceMs, untilMs, principal, action, target, outcome } = filter;
  if (sinceMs !== undefined) add("time_ms >= ?", sinceMs);
  if (untilMs !== undefined) add("time_ms < ?", untilMs);
  if (principal !== undefined) add("actor_name = ?", principal);
  if (action?.includes("/")) add("action = ?", action);
  else if (action !== undefined) add("substr(action, instr(action, '/') + 1) = ?", action);
  if (target !== undefined)
    add(
      "? IN (target_name, target_digest, target_name || '@' || target_version) AND target_kind <> ''",
      target,
    );
  if (outcome === "failed") add("outcome <> ?", auditOk);
  else if (outcome !== undefined) add("outcome = ?", outcome);
  return [sql.join(" "), values];
}

function entryOf(columns: Record<string, SQLOutputValue>): AuditEntry {
  const row = columns as unknown as Row;
  return {
    sequence: row.sequence,
    timeMs: row.time_ms,
    actor: {
      kind: row.actor_kind,
      name: row.actor_name,
      roles: textsOf(row.actor_roles),
      peer: row.actor_peer,
    },
    action: row.action,
    target: {
      kind: row.target_kind,
      name: row.target_name,
      version: row.target_version,
      digest: row.target_digest,
      signers: textsOf(row.target_signers),
    },
    outcome: row.outcome,
    detail: row.detail,
    omitted: row.omitted,
    previousHash: row.previous_hash,
    hash: row.hash,
  };
}

/** A list as it was written; what somebody else has put there is one text, which cannot have the right hash. */
function textsOf(json: string): string[] {
  try {
    const value: unknown = JSON.parse(json);
    if (Array.isArray(value) && value.every((each) => typeof each === "string")) return value;
  } catch {
    // As below.
  }
  return [json];
}
