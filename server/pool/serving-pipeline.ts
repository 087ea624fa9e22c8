/**
 * A pipeline that batches run through, with the count that tells when it is no longer used.
 *
 * @module
 */

import type { PipelineSpec } from "../bridge/pipeline-spec.ts";

/**
 * One revision of a pipeline. Each batch holds it from admission to answer; when it is retired and
 * the last batch is answered, workers forget it.
 */
export class ServingPipeline {
  readonly spec: PipelineSpec;
  /** Whether small calls may share a guest's call: not where a stage keeps callers apart with fresh instances. */
  readonly mergesCalls: boolean;
  #held = 0;
  #retired = false;
  readonly #onUnused: (pipeline: ServingPipeline) => void;

  /** @param onUnused - called once, when it is retired and no batch holds it */
  constructor(spec: PipelineSpec, onUnused: (pipeline: ServingPipeline) => void) {
    this.spec = spec;
    this.mergesCalls = !spec.stages.some((stage) => stage.fresh);
    this.#onUnused = onUnused;
  }

  /** A batch begins to use it. */
  hold(): void {
    this.#held++;
  }

  /** A batch was answered. */
  release(): void {
    this.#held--;
    if (this.#retired && this.#held === 0) this.#onUnused(this);
  }

  /** No new batch will use it. */
  retire(): void {
    if (this.#retired) return;
    this.#retired = true;
    if (this.#held === 0) this.#onUnused(this);
  }
}
