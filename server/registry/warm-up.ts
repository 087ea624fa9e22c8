/**
 * Runs a pipeline before it serves: checks that its modules start, take their configuration and answer, and
 * gives V8 the runs it needs to optimise them. Native code is shared, so all workers profit.
 *
 * @module
 */

import type { ModuleCode, PipelineSpec } from "../bridge/pipeline-spec.ts";
import type { Clock } from "../clock.ts";
import { LeatError, leatError } from "../errors.ts";
import { BatchJob, type BatchOwner, type BatchResult } from "../pool/batch-job.ts";
import { Crossing, type CrossingReport } from "../pool/crossing.ts";
import { ServingPipeline } from "../pool/serving-pipeline.ts";
import type { WorkerHandle } from "../pool/worker-handle.ts";
import type { Workplaces } from "../scheduling/workplaces.ts";
import { sampleBatch } from "./sample-batch.ts";

/** Batches of the warm-up: V8 has optimised hot functions after about as many. */
const maxRounds = 40;
/** How long the warm-up goes on at most, in milliseconds. */
const maxWarmUpMs = 150;

/** Configurations of one module that are remembered as warm; beyond these, others are warmed again. */
const maxWarmConfigs = 16;

/** What the warm-up found wrong. */
export interface WarmUpProblem {
  readonly stage: string;
  readonly code: string;
  readonly message: string;
}

/** Warms pipelines up in a worker that serves nobody else. */
export class WarmUp {
  readonly #places: Workplaces;
  readonly #clock: Clock;
  /** Configurations with which modules were run until optimised. Native code lives as long as its module. */
  readonly #warm = new WeakMap<object, Set<string>>();

  constructor(places: Workplaces, clock: Clock) {
    this.#places = places;
    this.#clock = clock;
  }

  /**
   * Runs the pipeline with no records, which must succeed, and then with sample records, whose fate does not matter.
   * Where all modules were warmed before, as when a version is gone back to, one round of samples is enough.
   *
   * @param spec - its id must be its own: what guests count and log during warm-up is dropped by it
   * @returns what went wrong in the first run, or undefined
   */
  async run(spec: PipelineSpec): Promise<WarmUpProblem | undefined> {
    const worker = await this.#places.borrow(spec);
    const pipeline = new ServingPipeline(spec, () => {});
    try {
      const problem = await this.#runOnce(worker, pipeline, Buffer.alloc(0));
      if (problem !== undefined) return problem;
      const samples = sampleBatch();
      const endMs = this.#clock.nowMs() + maxWarmUpMs;
      // Native code is a process's own: what serves there warms itself.
      const rounds =
        this.#isWarm(spec) || !spec.stages.every(({ code }) => code.t === "compiled") ? 1 : maxRounds;
      for (let round = 0; round < rounds && this.#clock.nowMs() < endMs; round++) {
        if (worker.state.t !== "ready") return undefined;
        await this.#runOnce(worker, pipeline, samples);
      }
      this.#remember(spec);
      return undefined;
    } finally {
      worker.drop(spec.id);
      this.#places.giveBack(spec, worker);
    }
  }

  #isWarm(spec: PipelineSpec): boolean {
    return spec.stages.every(
      ({ code, configJson }) => this.#warm.get(native(code))?.has(configJson) === true,
    );
  }

  #remember(spec: PipelineSpec): void {
    for (const { code, configJson } of spec.stages) {
      const configs = this.#warm.get(native(code)) ?? new Set();
      if (configs.size < maxWarmConfigs) configs.add(configJson);
      this.#warm.set(native(code), configs);
    }
  }

  async #runOnce(
    worker: WorkerHandle,
    pipeline: ServingPipeline,
    batch: Buffer,
  ): Promise<WarmUpProblem | undefined> {
    const outcome = await new Promise<{ error?: LeatError; report?: CrossingReport | undefined }>(
      (resolve) => {
        const owner: BatchOwner = {
          settled: (_, result) => {
            if (result instanceof LeatError) resolve({ error: result });
            else resolve({ report: settled(result, crossing) });
          },
        };
        const whole = {
          bytes: batch,
          start: 0,
          end: batch.length,
          mergeable: false,
          sequence: 0,
          streamId: "",
        };
        const job = new BatchJob(owner, pipeline, whole, this.#clock.nowMs());
        const crossing = new Crossing([job], "warm-up");
        this.#places.dispatchTo(worker, crossing);
      },
    );
    if (outcome.error !== undefined) {
      return {
        stage: outcome.error.metadata["stage"] ?? "",
        code: outcome.error.reason,
        message: outcome.error.metadata["problem"] ?? outcome.error.message,
      };
    }
    const [sample] = outcome.report?.samples ?? [];
    return sample;
  }
}

/** What native code belongs to. */
function native(code: ModuleCode): object {
  return code.t === "compiled" ? code.module : code.clamped;
}

function settled(result: BatchResult, crossing: Crossing): CrossingReport | undefined {
  result.release();
  return crossing.report;
}

/** Turns what a warm-up found into the error for a module's stage. */
export function warmUpError(problem: WarmUpProblem, spec: PipelineSpec): LeatError {
  const stage = spec.stages.find(({ name }) => name === problem.stage) ?? spec.stages[0];
  const module = stage === undefined ? spec.name : `${stage.module}@${stage.version}`;
  if (problem.code === "MODULE_COMPILE_FAILED")
    return leatError("MODULE_COMPILE_FAILED", { problem: problem.message });
  return problem.code === "init_failed"
    ? leatError("MODULE_INIT_FAILED", { module, problem: problem.message })
    : leatError("MODULE_WARMUP_FAILED", { module, problem: `${problem.code}: ${problem.message}` });
}
