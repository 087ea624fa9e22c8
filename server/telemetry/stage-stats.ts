/**
 * What is counted of one stage with one module version.
 *
 * @module
 */

import { defaultLimits, type Limits } from "../limits.ts";
import { otherName } from "./names.ts";

/** The limits that bound the figures. */
export type StatsLimits = Pick<
  Limits,
  | "maxPipelines"
  | "maxInlinePipelines"
  | "maxFormerStages"
  | "maxFailureCodesPerStage"
  | "maxCountersPerStage"
>;

/** A count of events and the time they took together. */
export class TimedCount {
  /** How many. */
  count = 0;
  /** Their time in total, in nanoseconds. */
  totalNs = 0;

  /** Counts one event that took so many nanoseconds. */
  add(ns: number): void {
    this.count += 1;
    this.totalNs += ns;
  }
}

/** Which stage and which module version figures belong to. */
export interface StageIdentity {
  /** The stage's name. */
  readonly stage: string;
  /** The module's name. */
  readonly module: string;
  /** The module's version. */
  readonly version: string;
  /** The module's digest. */
  readonly digest: string;
}

/** The breaker of a module version. */
export interface BreakerFigures {
  /** Its state now. */
  readonly state: "closed" | "open" | "half_open";
  /** How often it came to each state. */
  readonly transitions: Readonly<Record<BreakerFigures["state"], number>>;
}

/** Why an instance was dropped: after a fault, since it had grown, since each batch gets a new one, or to make room for others. */
export type DiscardReason = "fault" | "memory" | "fresh" | "evicted";

/** Adds to a count by name; a new name beyond `max` names counts under {@link otherName}. */
export function addTo(counts: Map<string, number>, name: string, delta: number, max: number): void {
  const count = counts.get(name);
  if (count !== undefined) counts.set(name, count + delta);
  else if (counts.size < max) counts.set(name, delta);
  else counts.set(otherName, (counts.get(otherName) ?? 0) + delta);
}

/** Figures of one stage with one module version. */
export class StageStats {
  /** The stage's name. */
  readonly stage: string;
  /** The module's name. */
  module: string;
  /** The module's version. */
  version: string;
  /** The module's digest. */
  digest: string;
  /** Runs of the stage and their time. */
  readonly execute = new TimedCount();
  /** Records that came into the stage. */
  recordsIn = 0;
  /** Records that left it. */
  recordsOut = 0;
  /** Records that passed it by, and are not among those that came in and left. */
  recordsSkipped = 0;
  /** Records that failed in it, by code. */
  readonly failures = new Map<string, number>();
  /** Instances that were made for it. */
  instancesCreated = 0;
  /** Instances that were dropped, by reason. */
  readonly instancesDiscarded: Record<DiscardReason, number> = { fault: 0, memory: 0, fresh: 0, evicted: 0 };
  /** Processor time of its runs in microseconds, also of those that were stopped. */
  cpuUs = 0;
  /** The largest memory that an instance of it had, in bytes. */
  memoryHighWaterBytes = 0;
  /** Lines that the module logged and that were passed on. */
  logLines = 0;
  /** Lines that the module logged beyond what may be logged. */
  logLinesDropped = 0;
  /** Additions to custom counters. */
  counterUpdates = 0;
  /** Those of them whose name found no room. */
  counterUpdatesUnnamed = 0;
  /** Custom counters of the module, by name. */
  readonly counters = new Map<string, number>();
  /** Records that were tried again. */
  retries = 0;
  /** Records that became dead letters. */
  deadLetters = 0;
  readonly #limits: StatsLimits;

  constructor(identity: StageIdentity, limits: StatsLimits = defaultLimits) {
    this.stage = identity.stage;
    this.module = identity.module;
    this.version = identity.version;
    this.digest = identity.digest;
    this.#limits = limits;
  }

  /** Counts records that failed with a code; codes beyond `maxFailureCodesPerStage` count as `other`. */
  addFailure(code: string, n = 1): void {
    addTo(this.failures, code, n, this.#limits.maxFailureCodesPerStage);
  }

  /** Adds to a custom counter; names beyond `maxCountersPerStage` count as `other`. What is not finite is ignored. */
  addCounter(name: string, delta: number): void {
    if (!Number.isFinite(delta)) return;
    const { maxCountersPerStage } = this.#limits;
    const counter = this.counters.has(name) || this.counters.size < maxCountersPerStage ? name : otherName;
    const sum = (this.counters.get(counter) ?? 0) + delta;
    this.counters.set(counter, Math.max(-Number.MAX_VALUE, Math.min(sum, Number.MAX_VALUE)));
  }

  /** Whether these are the figures of that stage with that module version. */
  is(identity: StageIdentity): boolean {
    return (
      this.digest === identity.digest &&
      this.stage === identity.stage &&
      this.version === identity.version &&
      this.module === identity.module
    );
  }
}
