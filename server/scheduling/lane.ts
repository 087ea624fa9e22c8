/**
 * The lane of known offenders: all of them together have one crossing in one worker at a time, so that other pipelines always have
 * the other workers, or on a pool of one the extra one that helps out.
 *
 * @module
 */

import type { PipelineSpec } from "../bridge/pipeline-spec.ts";
import type { Crossing } from "../pool/crossing.ts";
import type { WorkerHandle } from "../pool/worker-handle.ts";

/** Who is in the lane. */
export class Lane {
  /** Whether a pipeline is confined to it. */
  readonly confines: (pipeline: PipelineSpec) => boolean;
  #taken: { readonly crossing: Crossing; readonly worker: WorkerHandle } | undefined = undefined;

  /** @param confines - whether a pipeline is confined now */
  constructor(confines: (pipeline: PipelineSpec) => boolean) {
    this.confines = confines;
  }

  /** Whether nobody is in it. */
  get free(): boolean {
    return this.#taken === undefined;
  }

  /** The worker that runs its crossing: others are sent there last. */
  get worker(): WorkerHandle | undefined {
    return this.#taken?.worker;
  }

  /** A crossing was handed to a worker. */
  enter(crossing: Crossing, worker: WorkerHandle): void {
    this.#taken = { crossing, worker };
  }

  /** A crossing has come back from its worker. */
  leave(crossing: Crossing): void {
    if (this.#taken?.crossing === crossing) this.#taken = undefined;
  }
}
