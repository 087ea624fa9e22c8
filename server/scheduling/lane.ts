/**
 * The lane of known offenders: all of them together have one crossing under way at a time, in a worker beside those that serve the others.
 * Where the limits allow no such worker, it is one of those, and others are sent there last.
 *
 * @module
 */

import type { PipelineSpec } from "../bridge/pipeline-spec.ts";
import type { Crossing } from "../pool/crossing.ts";
import type { WorkerHandle } from "../pool/worker-handle.ts";

/** Who must take the lane. */
export interface Confinement {
  /** Whether nobody is confined. */
  readonly empty: boolean;
  /** Whether a pipeline is confined now. */
  confines(pipeline: PipelineSpec): boolean;
}

/** Who is in the lane. */
export class Lane {
  readonly #confinement: Confinement;
  #taken: { readonly crossing: Crossing; readonly worker: WorkerHandle | undefined } | undefined = undefined;

  constructor(confinement: Confinement) {
    this.#confinement = confinement;
  }

  /** Whether nobody is confined to it. */
  get unused(): boolean {
    return this.#confinement.empty;
  }

  /** Whether a pipeline is confined to it. */
  readonly confines = (pipeline: PipelineSpec): boolean => this.#confinement.confines(pipeline);

  /** Whether nobody is in it. */
  get free(): boolean {
    return this.#taken === undefined;
  }

  /** The worker that runs its crossing and serves others as well: they are sent there last. */
  get worker(): WorkerHandle | undefined {
    return this.#taken?.worker;
  }

  /** A crossing was handed to a worker: to the lane's own unless it is named. */
  enter(crossing: Crossing, worker?: WorkerHandle): void {
    this.#taken = { crossing, worker };
  }

  /** A crossing has come back from its worker. */
  leave(crossing: Crossing): void {
    if (this.#taken?.crossing === crossing) this.#taken = undefined;
  }
}
