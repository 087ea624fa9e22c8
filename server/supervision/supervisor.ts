/**
 * Keeps one server process running: starts it, starts it again when it ends by itself, and draws up from the crash
 * ledger what must not run in the next one. Holds no module code, so nothing that a module does can reach it.
 *
 * @module
 */

import type { ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { systemClock } from "../clock.ts";
import { readLedger } from "./ledger-format.ts";
import type { FromServer, ServedWith, ServerStart, Starting, ToServer } from "./messages.ts";
import { type Book, judge } from "./quarantine-book.ts";
import { readBook, writeBook } from "./quarantine-file.ts";
import { isAbort, type RestartLimits, RestartPolicy } from "./restart-policy.ts";

/** What a supervisor needs. */
export interface SupervisorParts {
  /**
   * Starts a process that waits to be told to serve, with an IPC channel.
   *
   * @param cacheFolder - where it may keep compiled code for the next one
   */
  readonly start: (cacheFolder: string) => ChildProcess;
  /** Tells the operator, in one line. */
  readonly say: (line: string) => void;
  /** How long a process may take to exit when it has said that it does, or was told twice to end, in milliseconds. Default 5 s. */
  readonly exitGraceMs?: number;
}

/** Longer than a process takes for its exit, unless a thread does not end or nobody reads what it writes. */
const defaultExitGraceMs = 5_000;

/** How long a server serves before another process is made to stand by, which costs the machine half a second of CPU. */
const standbyAfterMs = 1_000;

/** How a process ended. */
interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly servingSinceMs: number | undefined;
}

/** Supervises one server. */
export class Supervisor {
  readonly #parts: SupervisorParts;
  readonly #policy = new RestartPolicy();
  readonly #stop = new AbortController();
  #child: ChildProcess | undefined;
  /** Has loaded everything, and waits to be told to serve. */
  #standby: ChildProcess | undefined;
  #standbyTimer: NodeJS.Timeout | undefined;
  /** What the process said when it began. */
  #began: Starting | undefined;
  #limits: RestartLimits = { maxRestarts: 0, restartWindowMs: 0 };
  /** Where the book of modules in quarantine is, while its own place cannot be written. */
  #bookElsewhere: string | undefined;
  #folder = "";
  /** What the last process that served had, for the next one. */
  #served: ServedWith | undefined;
  #ports: Pick<ServerStart, "grpcPort" | "httpPort"> = { grpcPort: undefined, httpPort: undefined };

  constructor(parts: SupervisorParts) {
    this.#parts = parts;
  }

  /**
   * Somebody wants the server to end: it drains; when this is said again, it ends at once.
   *
   * A terminal sends its signals to both processes, and so do some service managers. Therefore the supervisor counts
   * them and says what is meant.
   */
  readonly end = (): void => {
    const message: ToServer = { type: this.#stop.signal.aborted ? "close" : "drain" };
    if (message.type === "close" && this.#child !== undefined) this.#killLate(this.#child);
    this.#stop.abort();
    // It may be gone already.
    if (this.#child?.connected) this.#child.send(message, () => {});
  };

  /** Somebody wants the server to read its configuration again. One that is about to start reads it anyway. */
  readonly reload = (): void => {
    const message: ToServer = { type: "reload" };
    if (this.#child?.connected) this.#child.send(message, () => {});
  };

  /** Runs the server until it ends for good. @returns the exit code */
  async run(): Promise<number> {
    // Only this user may write there: what is compiled is code.
    const folder = mkdtempSync(join(tmpdir(), "leat-"));
    this.#folder = folder;
    try {
      for (;;) {
        const ended = await this.#runOnce(folder);
        const code = await this.#next(ended);
        if (code !== undefined) return code;
      }
    } finally {
      await this.#dismissStandby();
      this.#putBookBack();
      rmSync(folder, { recursive: true, force: true });
    }
  }

  /** Ends a process by force unless it ends by itself. */
  #killLate(child: ChildProcess): void {
    const late = setTimeout(() => child.kill("SIGKILL"), this.#parts.exitGraceMs ?? defaultExitGraceMs);
    child.once("exit", () => clearTimeout(late));
  }

  async #runOnce(folder: string): Promise<Ended> {
    this.#began = undefined;
    const child = this.#takeStandby() ?? this.#parts.start(cacheIn(folder));
    this.#child = child;
    const serve: ToServer = {
      type: "serve",
      start: { folder, quarantine: this.#bookElsewhere, served: this.#served, ...this.#ports },
    };
    // When it has ended already, its exit tells.
    child.send(serve, () => {});
    let servingSinceMs: number | undefined;
    let exitCode: number | undefined;
    child.on("message", (message: FromServer) => {
      if (message.type === "ending") {
        exitCode = message.code;
        this.#killLate(child);
        return;
      }
      if (message.type === "starting") {
        this.#began = message;
        this.#limits = message;
        return;
      }
      this.#served = { configText: message.configText };
      if (message.type === "configured") return;
      servingSinceMs = systemClock.nowMs();
      if (this.#began?.standby === true) this.#prepareStandby(folder);
      this.#ports = { grpcPort: message.grpcPort, httpPort: message.httpPort };
    });
    return new Promise<Ended>((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", (code, signal) => {
        const late = signal === "SIGKILL" && exitCode !== undefined;
        resolve(
          late ? { code: exitCode ?? null, signal: null, servingSinceMs } : { code, signal, servingSinceMs },
        );
      });
      // One that stood by may have ended since.
      if (child.exitCode !== null || child.signalCode !== null)
        resolve({ code: child.exitCode, signal: child.signalCode, servingSinceMs });
    });
  }

  /** Has another process stand by, in a while. */
  #prepareStandby(folder: string): void {
    clearTimeout(this.#standbyTimer);
    this.#standbyTimer = setTimeout(() => {
      if (this.#stop.signal.aborted || this.#child?.exitCode !== null) return;
      const standby = this.#parts.start(cacheIn(folder));
      this.#standby = standby;
      // One that ends while it waits is not missed until it is needed.
      const forget = (): void => {
        if (this.#standby === standby) this.#standby = undefined;
      };
      standby.once("exit", forget);
      standby.once("error", forget);
    }, standbyAfterMs).unref();
  }

  #takeStandby(): ChildProcess | undefined {
    clearTimeout(this.#standbyTimer);
    const standby = this.#standby;
    this.#standby = undefined;
    return standby?.connected === true ? standby : undefined;
  }

  async #dismissStandby(): Promise<void> {
    const standby = this.#takeStandby();
    if (standby === undefined || standby.exitCode !== null || standby.signalCode !== null) return;
    const ended = new Promise((resolve) => standby.once("exit", resolve));
    standby.kill("SIGKILL");
    await ended;
  }

  /** Decides what comes after the end of a process. @returns the exit code when nothing does */
  async #next({ code, signal, servingSinceMs }: Ended): Promise<number | undefined> {
    const blamed = isAbort(signal) && this.#blame(signal ?? "");
    const asked = this.#stop.signal.aborted;
    const ending = { code, signal, nowMs: systemClock.nowMs(), servingSinceMs, asked, blamed };
    const decision = this.#policy.ended(ending, this.#limits);
    const how =
      signal === null
        ? `ended with exit code ${code}`
        : `was ended by ${signal} (${constants.signals[signal]})`;
    switch (decision.t) {
      case "end":
        if (signal !== null) this.#parts.say(`the server process ${how}`);
        return decision.code;
      case "give-up":
        this.#parts.say(
          `the server process ${how}; giving up after ${decision.restarts} restarts within ${this.#limits.restartWindowMs / 1_000} s`,
        );
        return 1;
      case "restart": {
        const when = decision.delayMs === 0 ? "" : ` in ${decision.delayMs} ms`;
        this.#parts.say(`the server process ${how}; starting it again${when}`);
        await delay(decision.delayMs, undefined, { signal: this.#stop.signal }).catch(() => undefined);
        return this.#stop.signal.aborted ? 0 : undefined;
      }
    }
  }

  /** Judges what ran when the process aborted. @returns whether anything will be different in the next one */
  #blame(signal: string): boolean {
    if (this.#began === undefined) return false;
    const { ledger, quarantine } = this.#began;
    const rows = readLedger(ledger);
    if (rows.length === 0) return false;
    const { book, problem } = readBook(this.#bookElsewhere ?? quarantine, systemClock);
    if (problem !== undefined) this.#parts.say(`${problem}; the quarantine begins anew`);
    const verdict = judge(book, rows, signal, systemClock.nowMs());
    if (!this.#keepBook(quarantine, verdict.book)) return false;
    for (const digest of verdict.quarantined) this.#parts.say(`${digest} is in quarantine`);
    for (const digest of verdict.suspected) this.#parts.say(`${digest} is on probation`);
    return true;
  }

  /**
   * Writes the book in its own place or, where the disk is full or cannot be written, in the supervisor's folder, from
   * where the next process has it. @returns whether it is written
   */
  #keepBook(own: string, book: Book): boolean {
    for (const path of new Set([own, join(this.#folder, "quarantine.json")])) {
      try {
        writeBook(path, book, systemClock);
        if (path !== own)
          this.#parts.say(`the quarantine is kept in ${path} until its own place can be written`);
        this.#bookElsewhere = path === own ? undefined : path;
        return true;
      } catch (error) {
        this.#parts.say(
          `the quarantine cannot be written: ${error instanceof Error ? error.message : error}`,
        );
      }
    }
    return false;
  }

  /** The supervisor's folder ends with it: what was kept there goes to its own place, if that can be written now. */
  #putBookBack(): void {
    const own = this.#began?.quarantine;
    if (own === undefined || this.#bookElsewhere === undefined) return;
    const { book } = readBook(this.#bookElsewhere, systemClock);
    try {
      writeBook(own, book, systemClock);
    } catch (error) {
      this.#parts.say(`the quarantine is lost: ${error instanceof Error ? error.message : error}`);
    }
  }
}

function cacheIn(folder: string): string {
  return join(folder, "compiled");
}
