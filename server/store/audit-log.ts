/**
 * The audit log as the main thread has it: each change is written down before it begins, and becomes an entry when it ends.
 *
 * @module
 */

import { randomUUID } from "node:crypto";
import type { Clock } from "../clock.ts";
import { LeatError, leatError } from "../errors.ts";
import type { Limits } from "../limits.ts";
import { AuditStats } from "../telemetry/audit-stats.ts";
import type { Logger } from "../telemetry/logger.ts";
import {
  type AuditDraft,
  type AuditEntry,
  type AuditPoint,
  auditOk,
  boundedDraft,
  noTarget,
  serverActor,
} from "./audit-entry.ts";
import { type AuditVerdict, walkAudit } from "./audit-walk.ts";
import type { StoreNotice } from "./store-calls.ts";
import type { StoreClient } from "./store-client.ts";

/** Selects entries: all conditions that are set must hold. */
export interface AuditFilter {
  readonly sinceMs?: number;
  readonly untilMs?: number;
  readonly principal?: string;
  /** A whole action, or what follows its `/`. */
  readonly action?: string;
  /** A name, `name@version` or a digest. */
  readonly target?: string;
  /** `ok`, a reason, or `failed` for all but `ok`. */
  readonly outcome?: string;
}

/** A part of a search. */
export interface AuditScan {
  readonly filter: AuditFilter;
  /** Only entries before this place. */
  readonly before: number | undefined;
  readonly count: number;
}

/** What shall be removed. */
export interface AuditRetention {
  readonly beforeMs: number;
  readonly maxEntries: number;
  /** The time of the entry that says so. */
  readonly timeMs: number;
}

/** Where the log begins and ends. */
export interface AuditBounds {
  /** The last entry that retention has removed. */
  readonly anchor: AuditPoint;
  /** The last entry. */
  readonly head: AuditPoint;
}

/** A change as it is known before it ends. */
export type AuditChange = Pick<AuditDraft, "actor" | "action" | "target" | "detail">;

/** A change that has begun. */
export interface BegunChange {
  readonly change: AuditChange;
  /** Under which it is written down; undefined where that failed and the policy lets it go on. */
  readonly intent: string | undefined;
}

/** An entry to be added. */
export interface EndedChange {
  readonly draft: AuditDraft;
  readonly intent: string | undefined;
}

/** What becomes of a change whose entry cannot be written: it is refused before it begins, or made all the same. */
export type AuditFailurePolicy = "refuse" | "warn";

/** What the log is made from. */
export interface AuditLogParts {
  readonly client: StoreClient;
  /** Whether the store is on a disk. */
  readonly durable: boolean;
  readonly limits: Readonly<Limits>;
  readonly clock: Clock;
  readonly logger: Logger | undefined;
  readonly onFailure: AuditFailurePolicy;
}

/** How often the log is looked through for old entries, and entries are tried again that could not be written. */
const upkeepIntervalMs = 60_000;
const dayMs = 24 * 3_600_000;
/** Entries of one transaction. */
const stepEntries = 500;

/** The audit log. */
export class AuditLog {
  readonly durable: boolean;
  readonly stats = new AuditStats();
  readonly #parts: AuditLogParts;
  readonly #timer: NodeJS.Timeout;
  /** Tells the changes that this process has begun from those of one before it. */
  readonly #run = randomUUID();
  #recovered = false;
  #waiting: EndedChange[] = [];
  #writing: Promise<void> | undefined;
  #bounds: AuditBounds | undefined;
  /** Why it could not be written when that was last tried. */
  #problem: string | undefined;
  /** Why nothing could be removed when that was last tried. */
  #retainProblem: string | undefined;
  #minuteBegan = Number.NEGATIVE_INFINITY;
  #refusals = 0;
  /** Refusals without an entry since the last one that has one. */
  #omitted = 0;

  constructor(parts: AuditLogParts) {
    this.#parts = parts;
    this.durable = parts.durable;
    parts.client.onNotice = (notice) => this.#newFile(notice);
    this.#timer = setInterval(() => void this.upkeep(), upkeepIntervalMs).unref();
  }

  /**
   * Writes down that a change begins. Nothing of it may be done before.
   *
   * @throws LeatError AUDIT_UNAVAILABLE where that fails and the policy refuses
   */
  async begin(change: AuditChange): Promise<BegunChange> {
    const intent = `${this.#run}/${randomUUID()}`;
    const draft = this.#draft(change, "", 0);
    try {
      // What could not be written before goes first, so that changes do not pile up that have no entry.
      await this.#flush();
      await this.#parts.client.call("beginAudit", { id: intent, draft });
      this.#works();
      return { change, intent };
    } catch (error) {
      this.#failed(error);
      if (this.#parts.onFailure === "warn") return { change, intent: undefined };
      throw leatError("AUDIT_UNAVAILABLE", { problem: problemOf(error) }, { cause: error });
    }
  }

  /**
   * Makes the entry of a change that has ended. Where that fails it is tried again later.
   *
   * @param known - what is known of the change now
   */
  end({ change, intent }: BegunChange, outcome: string, known: Partial<AuditChange> = {}): Promise<void> {
    return this.#add({ draft: this.#draft({ ...change, ...known }, outcome, 0), intent });
  }

  /** Makes an entry of something that was not written down when it began. */
  note(change: AuditChange, outcome: string = auditOk): Promise<void> {
    return this.#add({ draft: this.#draft(change, outcome, 0), intent: undefined });
  }

  /** Makes an entry of a call that was refused for its caller's role, unless there were too many of late. */
  refused(change: AuditChange, reason: string): void {
    const { clock, limits } = this.#parts;
    const nowMs = clock.nowMs();
    if (nowMs - this.#minuteBegan >= 60_000) {
      this.#minuteBegan = nowMs;
      this.#refusals = 0;
    }
    if (this.#refusals >= limits.maxAuditRefusalsPerMinute) {
      this.#omitted++;
      this.stats.omitted++;
      return;
    }
    this.#refusals++;
    const omitted = this.#omitted;
    this.#omitted = 0;
    void this.#add({ draft: this.#draft(change, reason, omitted), intent: undefined });
  }

  /**
   * Lists entries, newest first.
   *
   * @param before - only entries before this place
   * @returns what was found, and before which place the next page begins
   * @throws LeatError STORE_UNAVAILABLE
   */
  async list(
    filter: AuditFilter,
    count: number,
    before?: number,
  ): Promise<{ readonly entries: readonly AuditEntry[]; readonly next: number | undefined }> {
    await this.#flush().catch(() => undefined);
    const entries: AuditEntry[] = [];
    let next = before;
    do {
      const scan: AuditScan = { filter, before: next, count: count - entries.length };
      const found = await this.#parts.client.call("listAudit", scan);
      entries.push(...found.entries);
      next = found.next;
    } while (next !== undefined && entries.length < count);
    return { entries, next };
  }

  /** An entry, where it is kept. @throws LeatError STORE_UNAVAILABLE */
  get(sequence: number): Promise<AuditEntry | undefined> {
    return this.#parts.client.call("getAudit", { sequence });
  }

  /**
   * Walks the log from its beginning to its end.
   *
   * @param known - an entry that the log must have
   * @throws LeatError STORE_UNAVAILABLE, REQUEST_INVALID for a known entry that retention has removed, CANCELLED
   */
  async verify(known?: AuditPoint, signal?: AbortSignal): Promise<AuditVerdict> {
    await this.#flush().catch(() => undefined);
    return walkAudit(this.#parts.client, { remembered: this.#bounds?.head, known, signal });
  }

  /** Writes what waits, and removes what is too old or too much. Happens by itself, too. */
  async upkeep(): Promise<void> {
    await this.#flush().catch((error) => this.#failed(error));
    await this.#retain();
  }

  /** Tries to write what waits. The store is closed by whoever opened it. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#flush().catch((error) => this.#failed(error));
    this.#tell("the audit log ends here");
  }

  #draft({ actor, action, target, detail }: AuditChange, outcome: string, omitted: number): AuditDraft {
    const timeMs = this.#parts.clock.wallMs();
    return boundedDraft({ timeMs, actor, action, target, outcome, detail, omitted });
  }

  async #add(ended: EndedChange): Promise<void> {
    if (this.#waiting.length >= this.#parts.limits.maxAuditWaiting) {
      this.#waiting.shift();
      this.stats.lost++;
    }
    this.#waiting.push(ended);
    await this.#flush().catch((error) => this.#failed(error));
  }

  #flush(): Promise<void> {
    this.#writing ??= this.#write();
    return this.#writing;
  }

  /** Ends in the moment in which nothing waits: what comes later begins another run, and does not rely on this one. */
  async #write(): Promise<void> {
    // What else this turn of the event loop brings goes along.
    await Promise.resolve();
    try {
      if (!this.#recovered) await this.#recover();
      do {
        await this.#writeWaiting();
        if (this.#tooMany()) await this.#retain();
      } while (this.#waiting.length > 0);
    } finally {
      this.#writing = undefined;
    }
  }

  async #writeWaiting(): Promise<void> {
    while (this.#waiting.length > 0) {
      const ended = this.#waiting.splice(0, stepEntries);
      try {
        this.#bounds = await this.#parts.client.call("appendAudit", { ended });
      } catch (error) {
        this.#waiting.unshift(...ended);
        throw error;
      }
      this.#works();
      for (const { draft } of ended) this.stats.entries[draft.outcome === auditOk ? "ok" : "failed"]++;
    }
  }

  async #recover(): Promise<void> {
    const request = { timeMs: Math.floor(this.#parts.clock.wallMs()), run: this.#run };
    const { interrupted, bounds } = await this.#parts.client.call("recoverAudit", request);
    this.#recovered = true;
    this.#bounds = bounds;
    this.#tell("the audit log goes on from here");
    if (interrupted > 0)
      this.#parts.logger?.warn({ interrupted }, "changes were under way when an earlier server ended");
  }

  get #maxEntries(): number {
    const { maxAuditEntries, maxAuditEntriesInMemory } = this.#parts.limits;
    return this.durable ? maxAuditEntries : Math.min(maxAuditEntries, maxAuditEntriesInMemory);
  }

  #tooMany(): boolean {
    if (this.#bounds === undefined) return false;
    const { head, anchor } = this.#bounds;
    return head.sequence - anchor.sequence > this.#maxEntries;
  }

  /** A log from whose beginning nothing can be removed, as when somebody has cut it, is written on all the same. */
  async #retain(): Promise<void> {
    try {
      await this.#removeOld();
      this.#retainProblem = undefined;
    } catch (error) {
      const problem = problemOf(error);
      if (problem !== this.#retainProblem)
        this.#parts.logger?.error({ problem }, "old entries of the audit log cannot be removed");
      this.#retainProblem = problem;
    }
  }

  async #removeOld(): Promise<void> {
    const { clock, limits, client } = this.#parts;
    const timeMs = Math.floor(clock.wallMs());
    // A wall clock that jumps ahead must not make entries old.
    const beforeMs = Math.min(clock.nowMs(), timeMs) - limits.maxAuditAgeDays * dayMs;
    const request = { beforeMs, timeMs, maxEntries: this.#maxEntries };
    const { removed, bounds } = await client.call("retainAudit", request);
    this.#bounds = bounds;
    if (removed > 0) this.stats.entries.ok++;
  }

  /** For whoever compares: the log of the server is kept elsewhere. */
  #tell(message: string): void {
    if (this.#bounds === undefined) return;
    const { sequence, hash } = this.#bounds.head;
    this.#parts.logger?.info({ sequence, hash }, message);
  }

  #newFile(notice: StoreNotice): void {
    const head = this.#bounds?.head;
    this.#bounds = undefined;
    const before = head === undefined ? "" : `; its last entry was ${head.sequence}`;
    const detail = notice.t === "gone" ? `the file was gone${before}` : `set aside as ${notice.to}${before}`;
    const digest = head === undefined ? "" : `sha256:${head.hash}`;
    void this.note({
      actor: serverActor,
      action: "store/begin-anew",
      target: { ...noTarget, kind: "audit-log", name: notice.file, digest },
      detail,
    });
  }

  /** One line for each new problem: whoever calls while the disk is full must not fill the log. */
  #failed(error: unknown): void {
    this.stats.failures++;
    const problem = problemOf(error);
    if (problem !== this.#problem) this.#parts.logger?.error({ problem }, "the audit log cannot be written");
    this.#problem = problem;
  }

  #works(): void {
    if (this.#problem !== undefined) this.#parts.logger?.info("the audit log can be written again");
    this.#problem = undefined;
  }
}

function problemOf(error: unknown): string {
  return LeatError.from(error).metadata["problem"] ?? String(error);
}
