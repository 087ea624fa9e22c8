/**
 * The statements over the table of dead letters.
 *
 * @module
 */

import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import type {
  DeadLetterDraft,
  DeadLetterInfo,
  KeptDeadLetter,
  LetterFilter,
  LetterTotals,
} from "./dead-letter-store.ts";
import type { LetterPosition, StoreCalls } from "./store-calls.ts";

/** What a letter takes beside its own bytes: numbers, index entries. Records of some KB leave up to a fifth of their pages empty, too. */
const overheadBytes = 512;

const infoColumns =
  "seq, id, time_ms, pipeline, stage, module, version, digest, code, message, attempts, trace_id, stream_id, sequence, place, size_bytes";

interface InfoRow {
  readonly seq: number;
  readonly id: string;
  readonly time_ms: number;
  readonly pipeline: string;
  readonly stage: string;
  readonly module: string;
  readonly version: string;
  readonly digest: string;
  readonly code: string;
  readonly message: string;
  readonly attempts: number;
  readonly trace_id: string;
  readonly stream_id: string;
  readonly sequence: number;
  readonly place: number;
  readonly size_bytes: number;
}

interface KeptRow extends InfoRow {
  readonly record: Uint8Array;
  readonly stage_input: Uint8Array | null;
}

/** A condition in SQL with the values of its marks. */
interface Condition {
  readonly sql: string;
  readonly values: readonly SQLInputValue[];
}

/** Dead letters in one open database. */
export class LetterTable {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** Touches what every call needs, so that a file that is broken there shows it at once. */
  check(): void {
    this.totals();
    this.#prepare(`SELECT ${infoColumns} FROM dead_letters ORDER BY seq DESC LIMIT 1`).get();
  }

  /** All or nothing. */
  transaction<T>(work: () => T): T {
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      const done = work();
      this.#database.exec("COMMIT");
      return done;
    } catch (error) {
      // SQLite itself has rolled some failures back.
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      throw error;
    }
  }

  /** Adds letters. @returns how many were not there already */
  add(letters: readonly DeadLetterDraft[]): number {
    const statement = this.#prepare(
      `INSERT INTO dead_letters (id, time_ms, pipeline, stage, module, version, digest, code, message, attempts,
        trace_id, stream_id, sequence, place, size_bytes, kept_bytes, record, stage_input)
      VALUES (${Array(18).fill("?").join(", ")}) ON CONFLICT (id) DO NOTHING`,
    );
    let added = 0;
    for (const letter of letters) added += Number(statement.run(...valuesOf(letter)).changes);
    return added;
  }

  /** Removes letters. @returns how many were there */
  remove(ids: readonly string[]): number {
    const statement = this.#prepare("DELETE FROM dead_letters WHERE id = ?");
    let removed = 0;
    for (const id of ids) removed += Number(statement.run(id).changes);
    return removed;
  }

  /** Counts a letter's attempts up. @returns 0 when it is gone */
  replayed(id: string, attempts: number): number {
    const statement = this.#prepare("UPDATE dead_letters SET attempts = attempts + ? WHERE id = ?");
    return Number(statement.run(attempts, id).changes);
  }

  get(id: string): KeptDeadLetter | undefined {
    const row = this.#prepare(
      `SELECT ${infoColumns}, record, stage_input FROM dead_letters WHERE id = ?`,
    ).get(id);
    return row === undefined ? undefined : kept(row as unknown as KeptRow);
  }

  list({ filter, count, before }: StoreCalls["list"]["request"]): StoreCalls["list"]["reply"] {
    const all = conditions(filter);
    const page = before === undefined ? all : [...all, past(before, "<")];
    const rows = this.#prepare(
      `SELECT ${infoColumns} FROM dead_letters ${where(page)} ORDER BY time_ms DESC, seq DESC LIMIT ?`,
    ).all(...values(page), count + 1) as unknown as InfoRow[];
    const shown = rows.slice(0, count);
    return {
      letters: shown.map(info),
      next: rows.length > count ? positionOf(shown.at(-1)) : undefined,
      total: this.#count(all),
    };
  }

  read(request: StoreCalls["read"]["request"]): StoreCalls["read"]["reply"] {
    const { filter, count, maxBytes, after } = request;
    const upToSeq = request.upToSeq ?? this.#newestSeq();
    const page = [...conditions(filter), upTo(upToSeq)];
    if (after !== undefined) page.push(past(after, ">"));
    const rows = this.#prepare(
      `SELECT ${infoColumns}, record, stage_input FROM dead_letters ${where(page)} ORDER BY time_ms, seq LIMIT ?`,
    ).iterate(...values(page), count) as unknown as IterableIterator<KeptRow>;
    const letters: KeptDeadLetter[] = [];
    let bytes = 0;
    let last: InfoRow | undefined;
    let whole = true;
    for (const row of rows) {
      letters.push(kept(row));
      last = row;
      bytes += row.record.length + (row.stage_input?.length ?? 0);
      whole = bytes < maxBytes && letters.length < count;
      if (!whole) break;
    }
    return { letters, next: whole ? undefined : positionOf(last), upToSeq };
  }

  /** Removes some of what the filter selects. */
  purge(request: StoreCalls["purge"]["request"]): { removed: number; upToSeq: number } {
    const upToSeq = request.upToSeq ?? this.#newestSeq();
    const page = [...conditions(request.filter), upTo(upToSeq)];
    return { removed: this.#delete(page, request.count), upToSeq };
  }

  /** Removes some of what is too old or too much. @returns how many */
  retain({ beforeMs, maxBytes, count }: StoreCalls["retain"]["request"]): number {
    const removed = this.#delete([{ sql: "time_ms < ?", values: [Math.floor(beforeMs)] }], count);
    return removed + this.#removeBeyond(maxBytes, count - removed);
  }

  totals(): LetterTotals {
    const row = this.#prepare("SELECT letters, bytes FROM dead_letter_totals").get();
    const { letters, bytes } = row as unknown as LetterTotals;
    return { letters, bytes };
  }

  /** Gives some of the pages that nothing uses any more back to the disk. Outside of a transaction only. */
  shrink(): void {
    this.#database.exec("PRAGMA incremental_vacuum(1000)");
  }

  /** Removes the oldest letters until so many bytes are left. */
  #removeBeyond(maxBytes: number, count: number): number {
    let excess = this.totals().bytes - maxBytes;
    if (excess <= 0 || count <= 0) return 0;
    const oldest = this.#prepare(
      "SELECT seq, kept_bytes FROM dead_letters ORDER BY time_ms, seq LIMIT ?",
    ).all(count) as unknown as { seq: number; kept_bytes: number }[];
    const statement = this.#prepare("DELETE FROM dead_letters WHERE seq = ?");
    let removed = 0;
    for (const { seq, kept_bytes } of oldest) {
      if (excess <= 0) break;
      statement.run(seq);
      excess -= kept_bytes;
      removed++;
    }
    return removed;
  }

  #delete(page: readonly Condition[], count: number): number {
    const statement = this.#prepare(
      `DELETE FROM dead_letters WHERE seq IN (SELECT seq FROM dead_letters ${where(page)} ORDER BY time_ms, seq LIMIT ?)`,
    );
    return Number(statement.run(...values(page), count).changes);
  }

  #count(all: readonly Condition[]): number {
    if (all.length === 0) return this.totals().letters;
    const row = this.#prepare(`SELECT count(*) AS n FROM dead_letters ${where(all)}`).get(...values(all));
    return (row as { n: number }).n;
  }

  #newestSeq(): number {
    const row = this.#prepare("SELECT coalesce(max(seq), 0) AS newest FROM dead_letters").get();
    return (row as { newest: number }).newest;
  }

  /** There are as many different statements as combinations of conditions: some hundreds. */
  #prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}

function conditions(filter: LetterFilter): Condition[] {
  const { ids, pipeline, stage, code, module, version, digest, sinceMs, untilMs } = filter;
  const found: Condition[] = [];
  const add = (sql: string, value: SQLInputValue | undefined): void => {
    if (value !== undefined) found.push({ sql, values: [value] });
  };
  add("id IN (SELECT value FROM json_each(?))", ids === undefined ? undefined : JSON.stringify(ids));
  add("pipeline = ?", pipeline);
  add("stage = ?", stage);
  add("code = ?", code);
  add("module = ?", module);
  add("version = ?", version);
  add("digest = ?", digest);
  add("time_ms >= ?", sinceMs === undefined ? undefined : Math.ceil(sinceMs));
  add("time_ms < ?", untilMs === undefined ? undefined : Math.ceil(untilMs));
  return found;
}

function past({ timeMs, seq }: LetterPosition, direction: "<" | ">"): Condition {
  return { sql: `(time_ms, seq) ${direction} (?, ?)`, values: [timeMs, seq] };
}

function upTo(seq: number): Condition {
  return { sql: "seq <= ?", values: [seq] };
}

function where(all: readonly Condition[]): string {
  return all.length === 0 ? "" : `WHERE ${all.map(({ sql }) => sql).join(" AND ")}`;
}

function values(all: readonly Condition[]): SQLInputValue[] {
  return all.flatMap((condition) => condition.values);
}

function positionOf(row: InfoRow | undefined): LetterPosition | undefined {
  return row === undefined ? undefined : { timeMs: row.time_ms, seq: row.seq };
}

function valuesOf(letter: DeadLetterDraft): SQLInputValue[] {
  const { id, pipeline, stage, module, version, digest, code, message, traceId, streamId } = letter;
  const texts = [id, pipeline, stage, module, version, digest, code, message, traceId, streamId];
  const { record, stageInput } = letter;
  const keptBytes = texts.reduce(
    (sum, text) => sum + text.length,
    overheadBytes + record.length + (stageInput?.length ?? 0),
  );
  return [
    id,
    Math.floor(letter.timeMs),
    ...[pipeline, stage, module, version, digest, code, message],
    letter.attempts,
    ...[traceId, streamId],
    ...[letter.sequence, letter.index, record.length, keptBytes],
    record,
    stageInput ?? null,
  ];
}

function info(row: InfoRow): DeadLetterInfo {
  const { id, pipeline, stage, module, version, digest, code, message, attempts, sequence } = row;
  return {
    ...{ id, timeMs: row.time_ms, pipeline, stage, module, version, digest, code, message, attempts },
    ...{
      traceId: row.trace_id,
      streamId: row.stream_id,
      sequence,
      index: row.place,
      sizeBytes: row.size_bytes,
    },
  };
}

function kept(row: KeptRow): KeptDeadLetter {
  return { ...info(row), record: row.record, stageInput: row.stage_input ?? undefined };
}
