/**
 * Whether and when a server process that ended is started again: a state machine without a clock or a process.
 *
 * @module
 */

/** Signals by which a process ends that went wrong inside; V8 uses several for its own checks. */
const abortSignals: ReadonlySet<string> = new Set([
  "SIGABRT",
  "SIGSEGV",
  "SIGILL",
  "SIGBUS",
  "SIGTRAP",
  "SIGFPE",
]);
/** Signals by which somebody wants a process to end. */
const requests: ReadonlySet<string> = new Set(["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"]);

/** A process that served for less long died soon, in milliseconds. */
const soonMs = 1_000;
const firstDelayMs = 100;
const maxDelayMs = 5_000;

/** How a server process ended. */
export interface Ending {
  readonly code: number | null;
  readonly signal: string | null;
  /** When, in milliseconds. */
  readonly nowMs: number;
  /** When it began to take calls; undefined when it never did. */
  readonly servingSinceMs: number | undefined;
  /** Whether it had been asked to end. */
  readonly asked: boolean;
  /** Whether somebody was found who is to blame and will not run in the next process. */
  readonly blamed: boolean;
}

/** What to do. */
export type Decision =
  | { readonly t: "restart"; readonly delayMs: number }
  | { readonly t: "end"; readonly code: number }
  | { readonly t: "give-up"; readonly restarts: number };

/** Bounds restarts. */
export interface RestartLimits {
  /** Restarts within the window; 0 for none at all. */
  readonly maxRestarts: number;
  /** The window in milliseconds. */
  readonly restartWindowMs: number;
}

/** Whether a signal means that the process itself broke, as opposed to being killed. */
export function isAbort(signal: string | null): boolean {
  return signal !== null && abortSignals.has(signal);
}

/** Decides about each ending of one server. */
export class RestartPolicy {
  /** When it was restarted, within the window. */
  #restarts: number[] = [];
  #soonInARow = 0;
  #everServed = false;

  /** Takes the end of a process, and says what to do. */
  ended(ending: Ending, limits: RestartLimits): Decision {
    const { code, signal, nowMs, servingSinceMs } = ending;
    const served = servingSinceMs !== undefined;
    if (served) this.#everServed = true;
    if (ending.asked || code === 0) return { t: "end", code: code ?? 1 };
    if (signal !== null && requests.has(signal)) return { t: "end", code: 1 };
    // Whoever never served has a reason that another start will not remove, unless that reason was put aside.
    if (!this.#everServed && !(isAbort(signal) && ending.blamed)) return { t: "end", code: code ?? 1 };
    this.#restarts = this.#restarts.filter((atMs) => nowMs - atMs < limits.restartWindowMs);
    if (this.#restarts.length >= limits.maxRestarts) return { t: "give-up", restarts: this.#restarts.length };
    this.#restarts.push(nowMs);
    const soon = !served || nowMs - servingSinceMs < soonMs;
    this.#soonInARow = soon ? this.#soonInARow + 1 : 0;
    // The first time may be chance.
    if (this.#soonInARow <= 1) return { t: "restart", delayMs: 0 };
    return { t: "restart", delayMs: Math.min(maxDelayMs, firstDelayMs * 2 ** (this.#soonInARow - 2)) };
  }
}
