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
  | { readonly t: "half_open"; readonly successes: number; readonly probe: symbol | undefined };

/** What a call may do: run, run as the one probe of a half-open breaker, which knows it again by `probe`, or not at all. */
export type Permission =
  | { readonly t: "run" }
  | { readonly t: "probe"; readonly probe: symbol }
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

/** While a probe is out, others are told to come again after so many milliseconds at most. */
const maxProbeWaitMs = 1_000;

/** The breaker of one module version. Owns no timer: time comes with each call. */
export class Breaker {
  #spec: BreakerSpec;
  #state: BreakerState = { t: "closed" };
  /** The last calls, 1 for a fault, as a ring. */
  #calls: Uint8Array;
  #next = 0;
  #faults = 0;
  /** Since when it has been closed. */
  #closedSinceMs = Number.NEGATIVE_INFINITY;
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

  /** For how long calls are refused from now on, in milliseconds; undefined where one may run, as a probe or otherwise. */
  refusedForMs(nowMs: number): number | undefined {
    const state = this.#state;
    if (state.t === "open" && nowMs < state.untilMs) return state.untilMs - nowMs;
    if (state.t === "half_open" && state.probe !== undefined)
      return Math.min(this.#spec.openMs, maxProbeWaitMs);
    return undefined;
  }

  /** May a call run? A `probe` must be followed by {@link record} or {@link abandonProbe}. */
  ask(nowMs: number): Permission {
    const state = this.#state;
    if (state.t === "closed") return run;
    const retryAfterMs = this.refusedForMs(nowMs);
    if (retryAfterMs !== undefined) return { t: "refused", retryAfterMs };
    const probe = Symbol("probe");
    if (state.t === "open") this.#change({ t: "half_open", successes: 0, probe });
    else this.#state = { ...state, probe };
    return { t: "probe", probe };
  }

  /**
   * A call has ended. Calls that were let through before the breaker opened neither close it nor, once it is closed, open
   * it again: they tell of a time that is over.
   *
   * @param probe - what {@link ask} gave, where the call was a probe
   * @param startedMs - when the call began
   */
  record(fault: boolean, probe: symbol | undefined, startedMs: number, nowMs: number): void {
    if (probe !== undefined) this.#recordProbe(fault, probe, nowMs);
    else if (this.#state.t === "closed" && startedMs >= this.#closedSinceMs) this.#recordCall(fault, nowMs);
  }

  /** A probe has ended without telling anything: it was cancelled, say. */
  abandonProbe(probe: symbol): void {
    if (this.#state.t === "half_open" && this.#state.probe === probe)
      this.#state = { ...this.#state, probe: undefined };
  }

  /** Nobody asks for it any more: whoever was told that it opened is told that this is over. */
  end(): void {
    if (this.#state.t !== "closed") this.#change({ t: "closed" });
  }

  #recordProbe(fault: boolean, probe: symbol, nowMs: number): void {
    if (this.#state.t !== "half_open" || this.#state.probe !== probe) return;
    if (fault) {
      this.#open(nowMs);
      return;
    }
    const successes = this.#state.successes + 1;
    if (successes < this.#spec.probes) {
      this.#state = { t: "half_open", successes, probe: undefined };
      return;
    }
    this.#forget(this.#spec.window);
    this.#closedSinceMs = nowMs;
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
