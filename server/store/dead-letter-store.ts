/**
 * Where records are kept that a pipeline gave up on.
 *
 * @module
 */

import type { Clock } from "../clock.ts";
import { leatError } from "../errors.ts";
import type { Limits } from "../limits.ts";
import type { Logger } from "../telemetry/logger.ts";
import { ChangeQueue } from "./change-queue.ts";
import type { LetterPosition } from "./store-calls.ts";
import { StoreClient } from "./store-client.ts";

/** A dead letter as the data path hands it over. */
export interface DeadLetterDraft {
  /** Unique; a record that is sent again at its place has the same id, so that it adds no letter. */
  readonly id: string;
  /** When it failed, in milliseconds since the Unix epoch. */
  readonly timeMs: number;
  readonly pipeline: string;
  readonly stage: string;
  /** The stage's module. */
  readonly module: string;
  readonly version: string;
  readonly digest: string;
  /** The failure. */
  readonly code: string;
  readonly message: string;
  /** How often the record was tried. */
  readonly attempts: number;
  /** 32 hex digits, or empty. */
  readonly traceId: string;
  /** Where it came from; empty and 0 for unary calls. */
  readonly streamId: string;
  readonly sequence: number;
  readonly index: number;
  /** The record as it came in: an encoded `leat.v1.Record`. */
  readonly record: Uint8Array;
  /** What the failing stage was given, when that differs from `record`. */
  readonly stageInput: Uint8Array | undefined;
}

/** Takes dead letters. */
export interface DeadLetterSink {
  /**
   * Keeps letters durably. A letter whose id is there already is counted as kept.
   *
   * @throws whatever went wrong: then none of them may be taken as kept
   */
  write(letters: readonly DeadLetterDraft[]): Promise<void>;
}

/** A kept letter without its record. */
export interface DeadLetterInfo extends Omit<DeadLetterDraft, "record" | "stageInput"> {
  /** The encoded record's size. */
  readonly sizeBytes: number;
}

/** A kept letter with its record. */
export interface KeptDeadLetter extends DeadLetterInfo, Pick<DeadLetterDraft, "record" | "stageInput"> {}

/** Selects letters: all conditions that are set must hold; none selects all. */
export interface LetterFilter {
  readonly ids?: readonly string[];
  readonly pipeline?: string;
  readonly stage?: string;
  readonly code?: string;
  readonly module?: string;
  readonly version?: string;
  readonly digest?: string;
  /** Letters of this time or later, in milliseconds since the Unix epoch. */
  readonly sinceMs?: number;
  /** Letters from before this time. */
  readonly untilMs?: number;
}

/** A page of letters. */
export interface LetterPage {
  /** Newest first. */
  readonly letters: readonly DeadLetterInfo[];
  /** Asks for the next page; undefined on the last. */
  readonly nextPageToken: string | undefined;
  /** How many the filter selects in all. */
  readonly total: number;
}

/** How much is kept. */
export interface LetterTotals {
  readonly letters: number;
  /** Their bytes, with what a database needs beside them. */
  readonly bytes: number;
}

/** Whether the store can be used. It is tried again with each call, so a failed one comes back by itself. */
export type StoreStatus = { readonly t: "ok" } | { readonly t: "failed"; readonly reason: string };

/** What a store is opened with. */
export interface DeadLetterStoreOptions {
  /** The database's file; its folder is made where it is missing. Undefined keeps letters in memory, for as long as the store is open. */
  readonly file: string | undefined;
  readonly limits: Readonly<Limits>;
  readonly clock: Clock;
  /** Told when the store fails, works again, or begins a new file. */
  readonly logger?: Logger;
  /** The store's thread, where others use it as well; closed with the store. Default: one of its own. */
  readonly client?: StoreClient;
  /** How many pages of 4 KiB the file may have, as if the disk were that small. Default: as many as the disk takes. */
  readonly maxPages?: number;
  /** How often a store that failed is tried while nothing else does, in milliseconds. Default 5,000. */
  readonly probeIntervalMs?: number;
}

/** How often letters are looked through for old ones. */
const retentionIntervalMs = 60_000;
/** How often a store that failed is tried, while nothing else does. */
const defaultProbeIntervalMs = 5_000;
/** Letters that one step of retention or purging removes; what waits to be written goes between. */
const stepLetters = 1_000;
/** Letters and bytes of one page for replay. */
const readLetters = 100;
const readBytes = 4 * 1024 * 1024;

/**
 * Dead letters in SQLite, in a thread of their own. A letter that was acknowledged is on the disk.
 *
 * Every call fails with STORE_UNAVAILABLE while the file cannot be used, and tries it again.
 */
export class DeadLetterStore implements DeadLetterSink {
  /** Resolves when the file was tried: what `status` and `kept` say holds. */
  readonly opened: Promise<void>;
  readonly #options: DeadLetterStoreOptions;
  readonly #client: StoreClient;
  readonly #changes: ChangeQueue;
  readonly #timer: NodeJS.Timeout;
  #probeTimer: NodeJS.Timeout | undefined;
  /** Called when `status` has changed. */
  onStatus: () => void = () => {};
  #kept: LetterTotals = { letters: 0, bytes: 0 };
  #retaining: Promise<void> | undefined;
  #closed: Promise<void> | undefined;

  private constructor(options: DeadLetterStoreOptions) {
    const { file, limits, maxPages, logger } = options;
    this.#options = options;
    const start = { file, maxPages, maxLockMs: limits.maxStoreLockMs };
    this.#client = options.client ?? new StoreClient(start, logger);
    this.#changes = new ChangeQueue(limits, this.#client, (totals) => this.#note(totals));
    this.#timer = setInterval(() => void this.retain().catch(() => undefined), retentionIntervalMs).unref();
    this.#client.onStatus = () => {
      this.onStatus();
      this.#probeLater();
    };
    this.opened = this.retain().catch(() => undefined);
  }

  /** Opens a store. One whose file cannot be used is open as well: its `status` tells, and so does the log. */
  static async open(options: DeadLetterStoreOptions): Promise<DeadLetterStore> {
    const store = DeadLetterStore.begin(options);
    await store.opened;
    return store;
  }

  /** As {@link open}, without waiting until it is {@link opened}. */
  static begin(options: DeadLetterStoreOptions): DeadLetterStore {
    return new DeadLetterStore(options);
  }

  /** Whether the last call could use the file. */
  get status(): StoreStatus {
    return this.#client.status;
  }

  /** What is kept, as the last call that changed anything found it. */
  get kept(): LetterTotals {
    return this.#kept;
  }

  async write(letters: readonly DeadLetterDraft[]): Promise<void> {
    if (letters.length === 0) return;
    this.#checkOpen();
    // The bytes may lie in memory that is used again as soon as this returns.
    const own = letters.map((letter) => ({
      ...letter,
      record: new Uint8Array(letter.record),
      stageInput: letter.stageInput === undefined ? undefined : new Uint8Array(letter.stageInput),
    }));
    const buffers = own.flatMap(({ record, stageInput }) =>
      stageInput === undefined ? [record.buffer] : [record.buffer, stageInput.buffer],
    );
    const bytes = buffers.reduce((sum, { byteLength }) => sum + byteLength, letters.length * 1_024);
    await this.#changes.push({ t: "add", letters: own }, bytes, buffers);
    if (this.#kept.bytes > this.#options.limits.maxDeadLetterBytes) void this.retain().catch(() => undefined);
  }

  /**
   * Lists letters, newest first.
   *
   * @param page - letters of a page, and `nextPageToken` of the page before. A letter that comes meanwhile moves none from page to page
   * @throws LeatError REQUEST_INVALID for a token that is none
   */
  async list(filter: LetterFilter, page: { pageSize: number; pageToken?: string }): Promise<LetterPage> {
    this.#checkOpen();
    const before = page.pageToken === undefined ? undefined : parseToken(page.pageToken);
    const { letters, next, total } = await this.#client.call("list", {
      filter,
      count: page.pageSize,
      before,
    });
    return { letters, total, nextPageToken: next === undefined ? undefined : tokenOf(next) };
  }

  /** Reads one letter; undefined when there is none. */
  async get(id: string): Promise<KeptDeadLetter | undefined> {
    this.#checkOpen();
    return this.#client.call("get", { id });
  }

  /**
   * Reads letters with their records, oldest first, a page at a time. What is added meanwhile is not read.
   *
   * @param limit - how many at most
   */
  async *read(filter: LetterFilter, limit: number): AsyncGenerator<KeptDeadLetter, void, undefined> {
    let left = limit;
    let after: LetterPosition | undefined;
    let upToSeq: number | undefined;
    do {
      this.#checkOpen();
      const request = { filter, after, upToSeq, count: Math.min(left, readLetters), maxBytes: readBytes };
      const page = await this.#client.call("read", request);
      yield* page.letters;
      left -= page.letters.length;
      after = page.next;
      upToSeq = page.upToSeq;
    } while (after !== undefined && left > 0);
  }

  /** Adds the attempts of a letter whose record failed again. @returns whether it is still there */
  async recordReplay(id: string, attempts: number): Promise<boolean> {
    this.#checkOpen();
    return (await this.#changes.push({ t: "replayed", id, attempts }, id.length)) > 0;
  }

  /** Removes letters. @returns how many were there */
  async remove(ids: readonly string[]): Promise<number> {
    this.#checkOpen();
    const bytes = ids.reduce((sum, id) => sum + id.length, 0);
    return this.#changes.push({ t: "remove", ids }, bytes);
  }

  /** Removes all letters that the filter selects now. @returns how many there were */
  async purge(filter: LetterFilter): Promise<number> {
    let all = 0;
    let upToSeq: number | undefined;
    for (let removed = stepLetters; removed === stepLetters; all += removed) {
      this.#checkOpen();
      const step = await this.#client.call("purge", { filter, count: stepLetters, upToSeq });
      ({ removed, upToSeq } = step);
      this.#note(step.totals);
    }
    return all;
  }

  /** How much is kept. */
  async stats(): Promise<LetterTotals> {
    this.#checkOpen();
    return this.#client.call("totals", {});
  }

  /** Removes letters that are too old, and the oldest while there are too many. Happens by itself, too. */
  retain(): Promise<void> {
    this.#retaining ??= this.#retain().finally(() => {
      this.#retaining = undefined;
    });
    return this.#retaining;
  }

  /** Writes what waits, closes the file and ends the thread. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  /** A server that is sent no calls for its store's sake must find out by itself that it works again. */
  #probeLater(): void {
    clearTimeout(this.#probeTimer);
    if (this.status.t === "ok" || this.#closed !== undefined) return;
    const probe = (): void => {
      this.#client.call("probe", {}).catch(() => this.#probeLater());
    };
    const { probeIntervalMs = defaultProbeIntervalMs } = this.#options;
    this.#probeTimer = setTimeout(probe, probeIntervalMs).unref();
  }

  async #close(): Promise<void> {
    clearInterval(this.#timer);
    clearTimeout(this.#probeTimer);
    await this.#changes.idle();
    await this.#client.close();
  }

  async #retain(): Promise<void> {
    const { limits, clock } = this.#options;
    let all = 0;
    for (let removed = stepLetters; removed === stepLetters; all += removed) {
      if (this.#closed !== undefined) return;
      // A wall clock that jumps ahead must not make letters old.
      const beforeMs = Math.min(clock.nowMs(), clock.wallMs()) - limits.maxDeadLetterAgeMs;
      const request = { beforeMs, maxBytes: limits.maxDeadLetterBytes, count: stepLetters };
      const step = await this.#client.call("retain", request);
      removed = step.removed;
      this.#note(step.totals);
    }
    if (all > 0) this.#options.logger?.info({ letters: all }, "old dead letters were removed");
  }

  #note(totals: LetterTotals): void {
    this.#kept = totals;
  }

  #checkOpen(): void {
    if (this.#closed !== undefined) throw leatError("STORE_UNAVAILABLE", { problem: "it is closed" });
  }
}

function tokenOf({ timeMs, seq }: LetterPosition): string {
  return Buffer.from(`${timeMs}.${seq}`).toString("base64url");
}

function parseToken(token: string): LetterPosition {
  const match = /^(-?\d{1,15})\.(\d{1,15})$/.exec(Buffer.from(token, "base64url").toString("latin1"));
  if (match === null)
    throw leatError("REQUEST_INVALID", { field: "page_token", problem: "is none that this server gave" });
  return { timeMs: Number(match[1]), seq: Number(match[2]) };
}
