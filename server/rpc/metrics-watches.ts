/**
 * Those who watch the figures. A snapshot of everything is made in one turn of the event loop, so many watchers of many
 * pipelines get theirs less often than they ask for.
 *
 * @module
 */

import { setTimeout as delay } from "node:timers/promises";
import type { MetricsSnapshot } from "@leat/proto";
import type { Clock } from "../clock.ts";
import { leatError } from "../errors.ts";
import type { Limits } from "../limits.ts";

const defaultIntervalMs = 1_000;
const minIntervalMs = 100;
const maxIntervalMs = 60_000;

/** How many times as long as all watchers' snapshots took a watcher rests: with the messages that are made of them they take about a tenth of the main thread. */
const restPerSnapshot = 20;

/**
 * How long a watcher rests between two snapshots, in milliseconds.
 *
 * @param intervalMs - what it asked for
 * @param tookMs - how long its last snapshot took
 * @param open - how many watch
 */
export function restMs(intervalMs: number, tookMs: number, open: number): number {
  return Math.max(intervalMs, tookMs * open * restPerSnapshot);
}

/** All watchers of a server's figures. */
export class MetricsWatches {
  readonly #limits: Readonly<Pick<Limits, "maxMetricsWatches">>;
  readonly #clock: Clock;
  readonly #draining: AbortSignal;
  readonly #snapshot: (pipeline: string) => MetricsSnapshot;
  #open = 0;

  /** @param draining - is aborted when the server drains */
  constructor(
    limits: Readonly<Pick<Limits, "maxMetricsWatches">>,
    clock: Clock,
    draining: AbortSignal,
    snapshot: (pipeline: string) => MetricsSnapshot,
  ) {
    this.#limits = limits;
    this.#clock = clock;
    this.#draining = draining;
    this.#snapshot = snapshot;
  }

  /** How many watch. */
  get open(): number {
    return this.#open;
  }

  /**
   * Gives a snapshot at once and one an interval, until the signal is aborted or the server drains.
   *
   * @param intervalMs - 0 for the default
   * @throws LeatError REQUEST_INVALID, TOO_MANY_WATCHES
   */
  async *follow(
    pipeline: string,
    intervalMs: number,
    signal: AbortSignal,
  ): AsyncGenerator<MetricsSnapshot, void, undefined> {
    const interval = intervalMs === 0 ? defaultIntervalMs : intervalMs;
    if (interval < minIntervalMs || interval > maxIntervalMs) {
      throw leatError("REQUEST_INVALID", {
        field: "interval_ms",
        problem: `${interval} is outside of ${minIntervalMs} to ${maxIntervalMs}`,
      });
    }
    const { maxMetricsWatches } = this.#limits;
    if (this.#open >= maxMetricsWatches)
      throw leatError("TOO_MANY_WATCHES", {
        limit: "maxMetricsWatches",
        value: maxMetricsWatches,
        measured: this.#open + 1,
      });
    this.#open++;
    try {
      const ended = AbortSignal.any([signal, this.#draining]);
      while (!ended.aborted) {
        const beganMs = this.#clock.nowMs();
        const snapshot = this.#snapshot(pipeline);
        const tookMs = this.#clock.nowMs() - beganMs;
        yield snapshot;
        await delay(restMs(interval, tookMs, this.#open), undefined, { signal: ended, ref: false }).catch(
          () => undefined,
        );
      }
    } finally {
      this.#open--;
    }
  }
}
