/**
 * Those who watch health. While nobody does, a change costs nothing; while nothing changes, neither does a watcher: there is
 * one timer for all of them, and only where something ends by itself, as the time of an open breaker does.
 *
 * @module
 */

import type { Clock } from "../../clock.ts";
import { leatError } from "../../errors.ts";
import type { Limits } from "../../limits.ts";
import type { HealthBoard } from "./board.ts";
import type { Health } from "./reasons.ts";

/** What a watcher is told. */
export type Status = "serving" | "not_serving" | "unknown";

/** Somebody who waits for a change. */
interface Waiter {
  readonly name: string;
  readonly told: Status;
  readonly wake: () => void;
}

/** Timers take no longer times. */
const maxTimerMs = 2 ** 31 - 1;

/** All watchers of a board. */
export class HealthWatches {
  readonly #board: HealthBoard;
  readonly #limits: Readonly<Limits>;
  readonly #clock: Clock;
  readonly #waiting = new Set<Waiter>();
  #open = 0;
  #stopListening: (() => void) | undefined;
  #soon: NodeJS.Immediate | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** When the timer ends; Infinity while there is none. */
  #lookAtMs = Number.POSITIVE_INFINITY;

  constructor(board: HealthBoard, limits: Readonly<Limits>, clock: Clock) {
    this.#board = board;
    this.#limits = limits;
    this.#clock = clock;
  }

  /** How many watch. */
  get open(): number {
    return this.#open;
  }

  /**
   * Tells a status at once and with each change, until the signal is aborted or the server drains.
   *
   * @throws LeatError TOO_MANY_WATCHES
   */
  async *follow(name: string, signal: AbortSignal): AsyncGenerator<Status, void, undefined> {
    const { maxHealthWatches } = this.#limits;
    if (this.#open >= maxHealthWatches)
      throw leatError("TOO_MANY_WATCHES", {
        limit: "maxHealthWatches",
        value: maxHealthWatches,
        measured: this.#open + 1,
      });
    this.#open++;
    this.#stopListening ??= this.#board.onChange(() => this.#changed());
    try {
      while (!signal.aborted) {
        const told = statusFrom(this.#board.of(name));
        yield told;
        if (this.#board.draining) return;
        await this.#change(name, told, signal);
      }
    } finally {
      this.#open--;
      if (this.#open === 0) {
        this.#rest();
        this.#stopListening?.();
        this.#stopListening = undefined;
      }
    }
  }

  /** Resolves when the status is another than was told. */
  #change(name: string, told: Status, signal: AbortSignal): Promise<void> {
    // It may have changed while the last message left.
    const health = this.#board.of(name);
    if (signal.aborted || statusFrom(health) !== told) return Promise.resolve();
    this.#lookAt(health?.untilMs ?? Number.POSITIVE_INFINITY);
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiting.delete(waiter);
        signal.removeEventListener("abort", wake);
        resolve();
      };
      const waiter = { name, told, wake };
      this.#waiting.add(waiter);
      signal.addEventListener("abort", wake);
    });
  }

  /** However many changes a turn of the loop brings, they are looked at once. A drain cannot wait that long. */
  #changed(): void {
    if (this.#board.draining) this.#look();
    else this.#soon ??= setImmediate(() => this.#look());
  }

  #look(): void {
    this.#rest();
    const found = new Map<string, Health | undefined>();
    for (const { name, told, wake } of [...this.#waiting]) {
      if (!found.has(name)) found.set(name, this.#board.of(name));
      const health = found.get(name);
      if (statusFrom(health) !== told || this.#board.draining) wake();
      else this.#lookAt(health?.untilMs ?? Number.POSITIVE_INFINITY);
    }
  }

  /** Looks again at a time, unless that is done sooner. */
  #lookAt(untilMs: number): void {
    if (untilMs >= this.#lookAtMs) return;
    this.#lookAtMs = untilMs;
    clearTimeout(this.#timer);
    const waitMs = Math.min(Math.max(1, Math.ceil(untilMs - this.#clock.nowMs())), maxTimerMs);
    this.#timer = setTimeout(() => this.#look(), waitMs).unref();
  }

  #rest(): void {
    clearImmediate(this.#soon);
    this.#soon = undefined;
    clearTimeout(this.#timer);
    this.#lookAtMs = Number.POSITIVE_INFINITY;
  }
}

function statusFrom(health: Health | undefined): Status {
  if (health === undefined) return "unknown";
  return health.serving ? "serving" : "not_serving";
}
