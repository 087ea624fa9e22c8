/**
 * A pipeline that batches run through, with the count that tells when it is no longer used.
 *
 * @module
 */

import type { PipelineSpec } from "../bridge/pipeline-spec.ts";
import type { ArmStats } from "../telemetry/arm-stats.ts";
import { Backlog } from "./backlog.ts";
import type { BatchOwner } from "./batch-job.ts";
import { CallPace } from "./call-pace.ts";

/** What a pipeline is for: answering calls, or running copies of batches that nobody waits for. */
export type PipelinePurpose = "serve" | "shadow";

/** Another version of a pipeline that gets a share of its batches. */
export interface Canary {
  readonly pipeline: ServingPipeline;
  /** 0 to 1. */
  readonly share: number;
  readonly random: () => number;
}

/** Sees what becomes of a pipeline's batches. */
export interface ShadowTap {
  /** The owner to submit a batch with in place of its own. */
  watch(owner: BatchOwner): BatchOwner;
}

/**
 * One revision of a pipeline. Each batch holds it from admission to answer; when it is retired and
 * the last batch is answered, workers forget it.
 */
export class ServingPipeline {
  readonly spec: PipelineSpec;
  /** Whether small calls may share a guest's call: not where a stage keeps callers apart with fresh instances. */
  readonly mergesCalls: boolean;
  readonly purpose: PipelinePurpose;
  /** Its batches that wait for a run or are in one. */
  readonly backlog = new Backlog();
  /** How long its small calls take. */
  readonly pace = new CallPace();
  /** Counts how its batches went, while a rollout compares it with another version. */
  arm: ArmStats | undefined = undefined;
  /** The version that a rollout tries. */
  canary: Canary | undefined = undefined;
  /** What runs copies of its batches. */
  shadow: ShadowTap | undefined = undefined;
  #held = 0;
  #retired = false;
  readonly #onUnused: (pipeline: ServingPipeline) => void;

  /** @param onUnused - called once, when it is retired and no batch holds it */
  constructor(
    spec: PipelineSpec,
    onUnused: (pipeline: ServingPipeline) => void,
    purpose: PipelinePurpose = "serve",
  ) {
    this.spec = spec;
    this.purpose = purpose;
    this.mergesCalls = !spec.stages.some((stage) => stage.fresh);
    this.#onUnused = onUnused;
  }

  /** Where the next batch goes: here, or to the version that is tried. */
  forNextBatch(): ServingPipeline {
    const { canary } = this;
    return canary !== undefined && canary.random() < canary.share ? canary.pipeline : this;
  }

  /** A batch begins to use it. */
  hold(): void {
    this.#held++;
    this.backlog.add();
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
