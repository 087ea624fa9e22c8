/**
 * The tables of the database, and how an older file gets them.
 *
 * @module
 */

import type { DatabaseSync } from "node:sqlite";
import { auditMigration } from "./audit-schema.ts";

/**
 * Takes a file from one version to the next: the first entry makes version 1 of an empty file. What was
 * released is never changed, only added to.
 *
 * `totals` is kept by triggers, so that it is right in every transaction and need not be counted at the start. The
 * rowid ends every index, and with it the order of letters of the same time.
 */
const migrations: readonly string[] = [
  `CREATE TABLE dead_letters (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    time_ms INTEGER NOT NULL,
    pipeline TEXT NOT NULL,
    stage TEXT NOT NULL,
    module TEXT NOT NULL,
    version TEXT NOT NULL,
    digest TEXT NOT NULL,
    code TEXT NOT NULL,
    message TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    trace_id TEXT NOT NULL,
    stream_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    place INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    kept_bytes INTEGER NOT NULL,
    record BLOB NOT NULL,
    stage_input BLOB
  ) STRICT;
  CREATE INDEX dead_letters_by_time ON dead_letters (time_ms);
  CREATE INDEX dead_letters_by_pipeline ON dead_letters (pipeline, time_ms);
  CREATE INDEX dead_letters_by_stage ON dead_letters (stage, time_ms);
  CREATE INDEX dead_letters_by_code ON dead_letters (code, time_ms);
  CREATE INDEX dead_letters_by_module ON dead_letters (module, time_ms);
  CREATE INDEX dead_letters_by_digest ON dead_letters (digest, time_ms);
  CREATE TABLE dead_letter_totals (letters INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT;
  INSERT INTO dead_letter_totals VALUES (0, 0);
  CREATE TRIGGER dead_letters_added AFTER INSERT ON dead_letters BEGIN
    UPDATE dead_letter_totals SET letters = letters + 1, bytes = bytes + new.kept_bytes;
  END;
  CREATE TRIGGER dead_letters_removed AFTER DELETE ON dead_letters BEGIN
    UPDATE dead_letter_totals SET letters = letters - 1, bytes = bytes - old.kept_bytes;
  END;`,
  // An unloaded version's row stays: its name and version mean these bytes for ever.
  `CREATE TABLE module_versions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    digest TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    abi TEXT NOT NULL,
    load_time_ms INTEGER NOT NULL,
    compile_us INTEGER NOT NULL,
    imports TEXT NOT NULL,
    exports TEXT NOT NULL,
    unloaded_ms INTEGER,
    UNIQUE (name, version)
  ) STRICT;
  CREATE TABLE module_activations (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    digest TEXT NOT NULL,
    time_ms INTEGER NOT NULL,
    cause TEXT NOT NULL
  ) STRICT;
  CREATE INDEX module_activations_by_name ON module_activations (name, seq);
  CREATE TABLE pipeline_revisions (
    name TEXT NOT NULL,
    revision INTEGER NOT NULL,
    definition BLOB NOT NULL,
    time_ms INTEGER NOT NULL,
    PRIMARY KEY (name, revision)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE pipeline_heads (name TEXT PRIMARY KEY, revision INTEGER NOT NULL) STRICT, WITHOUT ROWID;`,
  // Until now each revision served until the next one was put.
  `ALTER TABLE pipeline_revisions ADD COLUMN previous INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE pipeline_revisions ADD COLUMN principal TEXT NOT NULL DEFAULT '';
  ALTER TABLE pipeline_revisions ADD COLUMN digest TEXT NOT NULL DEFAULT '';
  UPDATE pipeline_revisions SET previous = revision - 1;`,
  // Of loaded versions only; one without a row had no signature beside it.
  `CREATE TABLE module_signatures (
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    detached BLOB NOT NULL,
    time_ms INTEGER NOT NULL,
    PRIMARY KEY (name, version)
  ) STRICT, WITHOUT ROWID;`,
  auditMigration,
  "ALTER TABLE module_versions ADD COLUMN config_schema TEXT NOT NULL DEFAULT '';",
];

/** The version of files that this program writes. */
export const schemaVersion = migrations.length;

/**
 * Brings a file to {@link schemaVersion}.
 *
 * @throws Error when a newer program has written it
 */
export function migrate(database: DatabaseSync): void {
  database.exec("BEGIN IMMEDIATE");
  try {
    const { user_version: found } = database.prepare("PRAGMA user_version").get() as { user_version: number };
    if (found > schemaVersion) {
      throw new Error(`the file has version ${found}, and this server knows versions up to ${schemaVersion}`);
    }
    for (const migration of migrations.slice(found)) database.exec(migration);
    if (found < schemaVersion) database.exec(`PRAGMA user_version = ${schemaVersion}`);
    database.exec("COMMIT");
  } catch (error) {
    if (database.isTransaction) database.exec("ROLLBACK");
    throw error;
  }
}
