/**
 * The tables of the audit log. Their triggers refuse whatever does not add an entry at the end, or remove entries from the
 * beginning as retention does.
 *
 * @module
 */

import { auditOrigin } from "./audit-entry.ts";

/**
 * `audit_bounds` has the last entry that retention removed (`anchor`) and the last one there is (`head`). `audit_intents` has
 * changes that have begun: what is found there at a start was interrupted.
 */
export const auditMigration = `
  CREATE TABLE audit_entries (
    sequence INTEGER PRIMARY KEY,
    time_ms INTEGER NOT NULL,
    actor_kind TEXT NOT NULL,
    actor_name TEXT NOT NULL,
    actor_roles TEXT NOT NULL,
    actor_peer TEXT NOT NULL,
    action TEXT NOT NULL,
    target_kind TEXT NOT NULL,
    target_name TEXT NOT NULL,
    target_version TEXT NOT NULL,
    target_digest TEXT NOT NULL,
    target_signers TEXT NOT NULL,
    outcome TEXT NOT NULL,
    detail TEXT NOT NULL,
    omitted INTEGER NOT NULL,
    previous_hash TEXT NOT NULL,
    hash TEXT NOT NULL
  ) STRICT;
  CREATE TABLE audit_bounds (
    bound TEXT PRIMARY KEY CHECK (bound IN ('anchor', 'head')),
    sequence INTEGER NOT NULL,
    hash TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  INSERT INTO audit_bounds VALUES ('anchor', ${auditOrigin.sequence}, '${auditOrigin.hash}'),
    ('head', ${auditOrigin.sequence}, '${auditOrigin.hash}');
  CREATE TABLE audit_intents (id TEXT PRIMARY KEY, draft TEXT NOT NULL) STRICT;`;

/** Made at every opening, since a file that was mended by hand may have lost them. */
export const auditTriggers = `
  CREATE TRIGGER IF NOT EXISTS audit_entries_follow BEFORE INSERT ON audit_entries
  WHEN NOT EXISTS (SELECT 1 FROM audit_bounds
    WHERE bound = 'head' AND sequence = new.sequence - 1 AND hash = new.previous_hash)
  BEGIN SELECT RAISE(ABORT, 'an entry of the audit log must follow the last one'); END;
  CREATE TRIGGER IF NOT EXISTS audit_entries_added AFTER INSERT ON audit_entries BEGIN
    UPDATE audit_bounds SET sequence = new.sequence, hash = new.hash WHERE bound = 'head';
  END;
  CREATE TRIGGER IF NOT EXISTS audit_entries_stay BEFORE UPDATE ON audit_entries
  BEGIN SELECT RAISE(ABORT, 'an entry of the audit log cannot be changed'); END;
  CREATE TRIGGER IF NOT EXISTS audit_entries_kept BEFORE DELETE ON audit_entries
  WHEN old.sequence > (SELECT sequence FROM audit_bounds WHERE bound = 'anchor')
  BEGIN SELECT RAISE(ABORT, 'an entry of the audit log cannot be removed before its anchor is set'); END;
  CREATE TRIGGER IF NOT EXISTS audit_bounds_stay BEFORE UPDATE ON audit_bounds
  WHEN new.bound <> old.bound OR new.sequence <= old.sequence OR NOT EXISTS (SELECT 1 FROM audit_entries
    WHERE sequence = new.sequence AND hash = new.hash)
  BEGIN SELECT RAISE(ABORT, 'the audit log begins and ends with entries of its own'); END;
  CREATE TRIGGER IF NOT EXISTS audit_bounds_kept BEFORE DELETE ON audit_bounds
  BEGIN SELECT RAISE(ABORT, 'the bounds of the audit log cannot be removed'); END;`;
