/**
 * What the audit log counts.
 *
 * @module
 */

/** Figures of the audit log. */
export class AuditStats {
  /** Entries written, by whether the change was made. */
  readonly entries = { ok: 0, failed: 0 };
  /** How often the log could not be written. */
  failures = 0;
  /** Entries that could not be written and were given up. */
  lost = 0;
  /** Refusals without an entry, because there were too many. */
  omitted = 0;
}
