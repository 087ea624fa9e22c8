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

/** Label sets of one gauge that are remembered after they have ended. */
const maxEnded = 1_000;

/** Points of 1 that end: OpenTelemetry goes on telling the last value, so what was once told is told to be 0 from then on. */
export function whileTrue(read: () => readonly Attributes[]): () => readonly Point[] {
  const told = new Map<string, Attributes>();
  return () => {
    const now = new Map(read().map((attributes) => [JSON.stringify(attributes), attributes]));
    const ended = [...told].filter(([key]) => !now.has(key));
    told.clear();
    for (const [key, attributes] of [...ended, ...now].slice(-maxEnded)) told.set(key, attributes);
    return [
      ...Array.from(now.values(), (attributes) => [1, attributes] as const),
      ...ended.map(([, attributes]) => [0, attributes] as const),
    ];
  };
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
