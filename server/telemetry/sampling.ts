/**
 * Which traces are recorded that begin here, by a share that may change. Loaded with the rest of OpenTelemetry only.
 *
 * @module
 */

import { ParentBasedSampler, type Sampler, TraceIdRatioBasedSampler } from "@opentelemetry/sdk-trace";

/** A share of traces, and the sampler that keeps to it. */
export class Sampling {
  #root: Sampler;
  /** Follows the caller's decision where there is one, else the share. */
  readonly parentBased: Sampler;

  /** @param ratio - 0 to 1 */
  constructor(ratio: number) {
    this.#root = new TraceIdRatioBasedSampler(ratio);
    const root: Sampler = {
      shouldSample: (...span) => this.#root.shouldSample(...span),
      toString: () => this.#root.toString(),
    };
    this.parentBased = new ParentBasedSampler({ root });
  }

  /** Another share, from the next trace on. */
  setRatio(ratio: number): void {
    this.#root = new TraceIdRatioBasedSampler(ratio);
  }
}
