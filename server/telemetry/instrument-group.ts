/**
 * Instruments that are read together.
 *
 * @module
 */

import type { Attributes, BatchObservableResult, Meter, MetricOptions, Observable } from "@opentelemetry/api";

/** The value of one label set. */
export type Point = readonly [value: number, attributes?: Attributes];

/** Registers instruments that are read together: one pass over the figures a collection. */
export class Group {
  readonly #meter: Meter;
  readonly #observables: Observable[] = [];

  constructor(meter: Meter) {
    this.#meter = meter;
  }

  /** A figure that only rises. */
  counter(metric: string, options: MetricOptions): Observable {
    return this.#add(this.#meter.createObservableCounter(metric, options));
  }

  /** A figure that rises and falls. */
  gauge(metric: string, options: MetricOptions): Observable {
    return this.#add(this.#meter.createObservableGauge(metric, options));
  }

  /** Has all of them read by one function. */
  observe(read: (result: BatchObservableResult) => void): void {
    this.#meter.addBatchObservableCallback(read, this.#observables);
  }

  #add<T extends Observable>(observable: T): T {
    this.#observables.push(observable);
    return observable;
  }
}

/** Reads instruments that each have points of their own. */
export function observeAll(
  group: Group,
  reads: readonly (readonly [Observable, () => readonly Point[]])[],
): void {
  group.observe((result) => {
    for (const [observable, read] of reads) {
      for (const [value, attributes] of read()) result.observe(observable, value, attributes);
    }
  });
}
