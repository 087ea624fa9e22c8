import { Bytes } from "./bytes";
import { hostCounterAdd } from "./host";

const counters: Counter[] = [];

/**
 * A counter that the host keeps for this stage and shows among its metrics. Make it at the top level or in `configure`. Adding is a plain
 * addition; the host is told once a batch, so that what a batch counted before it trapped is lost with it.
 */
export class Counter {
  private name: Bytes;
  private pending: f64 = 0;

  /** @param name up to 64 bytes, lower snake case by custom */
  constructor(name: string) {
    this.name = Bytes.of(name);
    counters.push(this);
  }

  /** Adds to the counter. */
  add(delta: f64 = 1): void {
    this.pending += delta;
  }

  /** Tells the host. Called by the kit. */
  flush(): void {
    if (this.pending == 0) return;
    hostCounterAdd(this.name.ptr, <usize>this.name.length, this.pending);
    this.pending = 0;
  }
}

/** Tells the host what all counters gathered. Called by the kit. */
export function flushCounters(): void {
  for (let i = 0, n = counters.length; i < n; i++) unchecked(counters[i]).flush();
}
