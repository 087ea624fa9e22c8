/**
 * Stops calling a module that keeps breaking, and finds out when it has recovered.
 *
 * @module
 */

import type { BreakerSpec } from "../bridge/pipeline-spec.ts";

/** The state of a breaker. */
export type BreakerState =
  | { readonly t: "closed" }
  | { readonly t: "open"; readonly untilMs: number }
  | { readonly t: "half_open"; readonly successes: number; readonly probing: boolean };

/** What a call may do: run, run as the one probe of a half-open breaker, or not at all. */
export type Permission =
  | { readonly t: "run" }
  | { readonly t: "probe" }
  | { readonly t: "refused"; readonly retryAfterMs: number };

/** The strictest of several policies, field by field. */
export function strictest(specs: readonly [BreakerSpec, ...BreakerSpec[]]): BreakerSpec {
  return specs.reduce((one, other) => ({
    faults: Math.min(one.faults, other.faults),
    window: Math.max(one.window, other.window),
    openMs: Math.max(one.openMs, other.openMs),
    probes: Math.max(one.probes, other.probes),
    recordFailures: one.recordFailures || other.recordFailures,
  }));
}

const run: Permission = { t: "run" };
const probe: Permission = { t: "probe" };

/** The breaker of one module version. Owns no timer: time comes with each call. */
export class Breaker {
  #spec: BreakerSpec;
  #state: BreakerState = { t: "closed" };
  /** The last calls, 1 for a fault, as a ring. */
  #calls: Uint8Array;
  #next = 0;
  #faults = 0;
  readonly #onChange: (from: BreakerState["t"], to: BreakerState["t"]) => void;

  /** @param onChange - told of every transition */
  constructor(spec: BreakerSpec, onChange: (from: BreakerState["t"], to: BreakerState["t"]) => void) {
    this.#spec = spec;
    this.#calls = new Uint8Array(spec.window);
    this.#onChange = onChange;
  }

  /** The state now. */
  get state(): BreakerState {
    return this.#state;
  }

  /** Whether calls with record failures count. */
  get countsRecordFailures(): boolean {
    return this.#spec.recordFailures;
  }

  /** Goes on with another policy. Calls that were looked back on are forgotten when the window changes. */
  adopt(spec: BreakerSpec): void {
    if (spec.window !== this.#spec.window) this.#forget(spec.window);
    this.#spec = spec;
  }

  /** May a call run? A `probe` must be followed by {@link record} or {@link abandonProbe}. */
  ask(nowMs: number): Permission {
    const state = this.#state;
    switch (state.t) {
      case "closed":
        return run;
      case "open":
        if (nowMs < state.untilMs) return { t: "refused", retryAfterMs: state.untilMs - nowMs };
        this.#change({ t: "half_open", successes: 0, probing: true });
        return probe;
      case "half_open":
        if (state.probing) return { t: "refused", retryAfterMs: Math.min(this.#spec.openMs, 1_000) };
        this.#state = { ...state, probing: true };
        return probe;
    }
  }

  /** A call has ended. Calls that were let through before the breaker opened do not close it. */
  record(fault: boolean, wasProbe: boolean, nowMs: number): void {
    if (wasProbe) this.#recordProbe(fault, nowMs);
    else if (this.#state.t === "closed") this.#recordCall(fault, nowMs);
  }

  /** A probe has ended without telling anything: it was cancelled, say. */
  abandonProbe(): void {
    if (this.#state.t === "half_open") this.#state = { ...this.#state, probing: false };
  }

  #recordProbe(fault: boolean, nowMs: number): void {
    if (this.#state.t !== "half_open") return;
    if (fault) {
      this.#open(nowMs);
      return;
    }
    const successes = this.#state.successes + 1;
    if (successes < this.#spec.probes) {
      this.#state = { t: "half_open", successes, probing: false };
      return;
    }
    this.#forget(this.#spec.window);
    this.#change({ t: "closed" });
  }

  #recordCall(fault: boolean, nowMs: number): void {
    this.#faults += (fault ? 1 : 0) - (this.#calls[this.#next] as number);
    this.#calls[this.#next] = fault ? 1 : 0;
    this.#next = (this.#next + 1) % this.#calls.length;
    if (this.#faults >= this.#spec.faults) this.#open(nowMs);
  }

  #open(nowMs: number): void {
    this.#change({ t: "open", untilMs: nowMs + this.#spec.openMs });
  }

  #forget(window: number): void {
    this.#calls = new Uint8Array(window);
    this.#next = 0;
    this.#faults = 0;
  }

  #change(to: BreakerState): void {
    const from = this.#state.t;
    this.#state = to;
    this.#onChange(from, to.t);
  }
}
