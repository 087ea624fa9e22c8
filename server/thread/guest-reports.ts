/**
 * Takes what guests log and count to the main thread, within bounds.
 *
 * @module
 */

import type { MessagePort } from "node:worker_threads";
import type { FromWorker } from "../bridge/from-worker.ts";
import type { Limits } from "../limits.ts";
import type { GuestSink } from "../stages/run-context.ts";

/** Rate-limits log lines and gathers counters until they are flushed. */
export class GuestReports implements GuestSink {
  readonly #port: MessagePort;
  readonly #limits: Readonly<Limits>;
  readonly #counters = new Map<number, { pipeline: number; stage: number; deltas: Map<string, number> }>();
  #second = 0;
  #lines = 0;
  #dropped = 0;

  constructor(port: MessagePort, limits: Readonly<Limits>) {
    this.#port = port;
    this.#limits = limits;
  }

  log(pipeline: number, stage: number, level: number, text: string): void {
    const second = Math.floor(performance.now() / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#lines = 0;
    }
    if (this.#lines >= this.#limits.maxLogLinesPerSecond) {
      this.#dropped++;
      return;
    }
    this.#lines++;
    this.#post({ type: "log", pipeline, stage, level, text, dropped: this.#dropped });
    this.#dropped = 0;
  }

  count(pipeline: number, stage: number, name: string, delta: number): void {
    const key = pipeline * this.#limits.maxStages + stage;
    let entry = this.#counters.get(key);
    if (entry === undefined) {
      entry = { pipeline, stage, deltas: new Map() };
      this.#counters.set(key, entry);
    }
    const sum = entry.deltas.get(name);
    if (sum === undefined && entry.deltas.size >= this.#limits.maxCountersPerStage) return;
    entry.deltas.set(name, (sum ?? 0) + delta);
  }

  /** Sends the counters gathered so far. Called when the worker runs out of work, and now and then while it has some. */
  flush(): void {
    if (this.#counters.size === 0) return;
    for (const { pipeline, stage, deltas } of this.#counters.values()) {
      this.#post({ type: "counters", pipeline, stage, deltas: [...deltas] });
    }
    this.#counters.clear();
  }

  #post(message: FromWorker): void {
    this.#port.postMessage(message);
  }
}
