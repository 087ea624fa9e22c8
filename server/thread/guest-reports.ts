/**
 * Takes what guests log and count to the main thread, within bounds: however much they say, it gets so many lines
 * a second and so many names of counters.
 *
 * @module
 */

import type { MessagePort } from "node:worker_threads";
import type { FromWorker } from "../bridge/from-worker.ts";
import { type Clock, systemClock } from "../clock.ts";
import type { Limits } from "../limits.ts";
import type { GuestSink } from "../stages/run-context.ts";
import { otherName } from "../telemetry/names.ts";

/** What a worker's guests may say. */
export type GuestReportLimits = Pick<
  Limits,
  "maxStages" | "maxLogLinesPerSecond" | "maxStageLogLinesPerSecond" | "maxCountersPerStage"
>;

/** Rate-limits log lines and gathers counters until they are flushed. */
export class GuestReports implements GuestSink {
  readonly #port: Pick<MessagePort, "postMessage">;
  readonly #limits: Readonly<GuestReportLimits>;
  readonly #clock: Clock;
  readonly #counters = new Map<number, { pipeline: number; stage: number; deltas: Map<string, number> }>();
  #second = Number.NEGATIVE_INFINITY;
  #lines = 0;
  /** Lines in this second by stage; has an entry only for those that were passed on. */
  readonly #linesOfStage = new Map<number, number>();

  constructor(
    port: Pick<MessagePort, "postMessage">,
    limits: Readonly<GuestReportLimits>,
    clock: Clock = systemClock,
  ) {
    this.#port = port;
    this.#limits = limits;
    this.#clock = clock;
  }

  log(pipeline: number, stage: number, level: number, text: string): boolean {
    const second = Math.floor(this.#clock.nowMs() / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#lines = 0;
      this.#linesOfStage.clear();
    }
    if (this.#lines >= this.#limits.maxLogLinesPerSecond) return false;
    const key = this.#keyOf(pipeline, stage);
    const lines = this.#linesOfStage.get(key) ?? 0;
    if (lines >= this.#limits.maxStageLogLinesPerSecond) return false;
    this.#lines++;
    this.#linesOfStage.set(key, lines + 1);
    this.#post({ type: "log", pipeline, stage, level, text });
    return true;
  }

  count(pipeline: number, stage: number, name: string, delta: number): boolean {
    const key = this.#keyOf(pipeline, stage);
    let entry = this.#counters.get(key);
    if (entry === undefined) {
      entry = { pipeline, stage, deltas: new Map() };
      this.#counters.set(key, entry);
    }
    const { deltas } = entry;
    const named = deltas.has(name) || deltas.size < this.#limits.maxCountersPerStage;
    const kept = named ? name : otherName;
    deltas.set(kept, Math.min((deltas.get(kept) ?? 0) + delta, Number.MAX_VALUE));
    return named;
  }

  /** Sends the counters gathered so far. Called when the worker runs out of work, and now and then while it has some. */
  flush(): void {
    if (this.#counters.size === 0) return;
    for (const { pipeline, stage, deltas } of this.#counters.values()) {
      this.#post({ type: "counters", pipeline, stage, deltas: [...deltas] });
    }
    this.#counters.clear();
  }

  #keyOf(pipeline: number, stage: number): number {
    return pipeline * this.#limits.maxStages + stage;
  }

  #post(message: FromWorker): void {
    this.#port.postMessage(message);
  }
}
