/**
 * Takes what guests log and count to the log and the figures.
 *
 * @module
 */

import type { GuestCounters, GuestLog } from "../bridge/from-worker.ts";
import type { PipelineSpec } from "../bridge/pipeline-spec.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Stats } from "../telemetry/stats.ts";

const levels = ["debug", "info", "warn", "error"] as const;

/** Names the pipeline and the stage of what guests say. What comes from a pipeline that is gone, or from a warm-up, is dropped. */
export class GuestTalk {
  readonly #stats: Stats;
  readonly #logger: Logger;
  readonly #pipeline: (id: number) => PipelineSpec | undefined;

  constructor(stats: Stats, logger: Logger, pipeline: (id: number) => PipelineSpec | undefined) {
    this.#stats = stats;
    this.#logger = logger;
    this.#pipeline = pipeline;
  }

  /** Takes one message from a worker. */
  take(message: GuestLog | GuestCounters): void {
    const pipeline = this.#pipeline(message.pipeline);
    const stage = pipeline?.stages[message.stage];
    if (pipeline === undefined || stage === undefined) return;
    if (message.type === "counters") {
      const stats = this.#stats.pipeline(pipeline.name).stage(message.stage, stage.identity);
      for (const [name, delta] of message.deltas) stats.addCounter(name, delta);
      return;
    }
    const level = levels[message.level] ?? "info";
    const { module, version } = stage;
    this.#logger[level]({ pipeline: pipeline.name, stage: stage.name, module, version }, message.text);
  }
}
