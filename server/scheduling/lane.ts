/**
 * The lane of known offenders: all of them together have one worker, beside those that serve the others, with one crossing that runs and
 * one behind it. Where the limits allow no such worker, one of their crossings is under way at a time, and others are sent there last.
 *
 * @module
 */

import type { PipelineSpec } from "../bridge/pipeline-spec.ts";
import type { Crossing } from "../pool/crossing.ts";
import type { WorkerHandle } from "../pool/worker-handle.ts";

/** Crossings in the lane's own worker: one is there when the one before it ends, or when it is stopped and both run again. */
const maxInOwnWorker = 2;

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
  readonly #inOwnWorker = new Set<Crossing>();
  #shared: { readonly crossing: Crossing; readonly worker: WorkerHandle } | undefined = undefined;

  constructor(confinement: Confinement) {
    this.#confinement = confinement;
  }

  /** Whether nobody is confined to it. */
  get unused(): boolean {
    return this.#confinement.empty;
  }

  /** Whether a pipeline is confined to it. */
  readonly confines = (pipeline: PipelineSpec): boolean => this.#confinement.confines(pipeline);

  /** Whether another crossing may go in. */
  get free(): boolean {
    return this.#shared === undefined && this.#inOwnWorker.size < maxInOwnWorker;
  }

  /** The worker that runs its crossing and serves others as well: they are sent there last. */
  get worker(): WorkerHandle | undefined {
    return this.#shared?.worker;
  }

  /** A crossing was handed to a worker: to the lane's own unless it is named. */
  enter(crossing: Crossing, worker?: WorkerHandle): void {
    if (worker === undefined) this.#inOwnWorker.add(crossing);
    else this.#shared = { crossing, worker };
  }

  /** A crossing has come back from its worker. */
  leave(crossing: Crossing): void {
    this.#inOwnWorker.delete(crossing);
    if (this.#shared?.crossing === crossing) this.#shared = undefined;
  }
}
