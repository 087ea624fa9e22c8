/**
 * A version that is tried beside the active one, and the rule by which it is judged.
 *
 * @module
 */

import type { ShadowReport } from "../outcome/shadow.ts";
import type { ServingPipeline } from "../pool/serving-pipeline.ts";
import type { ArmStats } from "../telemetry/arm-stats.ts";
import type { ModuleEntry } from "./module-catalog.ts";

/** How a version is tried: it answers a share of batches, or runs copies of a share and answers none. */
export type RolloutMode = "canary" | "shadow";

/** By what a rollout ends by itself. */
export interface RolloutRule {
  /** Batches that each version must have run before they are compared. */
  readonly afterBatches: number;
  /** How many times as many failures, and how many times as much time, are not worse. */
  readonly maxFactor: number;
}

/** How far a rollout is. */
export type RolloutState =
  | { readonly t: "running" }
  | { readonly t: "promoted" | "rolled_back" | "aborted"; readonly timeMs: number; readonly why: string };

/** One rollout. */
export interface Rollout {
  readonly base: ModuleEntry;
  readonly candidate: ModuleEntry;
  readonly mode: RolloutMode;
  /** 0 to 1. */
  readonly share: number;
  readonly rule: RolloutRule | undefined;
  readonly startMs: number;
  state: RolloutState;
  readonly baseArm: ArmStats;
  readonly candidateArm: ArmStats;
  readonly shadow: ShadowReport;
  /** The pipelines that take part, by name. */
  readonly pairs: Map<string, { readonly base: ServingPipeline; readonly candidate: ServingPipeline }>;
}

/** Batches of which the 99th percentile says more than which of the two the machine has held up. */
const minBatchesForP99 = 500;

/** What is no difference, however small the figures: one record or batch in a thousand, and what a machine's noise makes. */
const allowance = { rate: 0.001, p50Ms: 0.05, p99Ms: 1 };

/**
 * Says in what a version is worse than the one that serves.
 *
 * @returns one sentence for each thing; none when it is as good
 */
export function worseIn(base: ArmStats, candidate: ArmStats, maxFactor: number): string[] {
  const compare = (what: string, of: (arm: ArmStats) => number, slack: number, unit: string): string[] => {
    const [measured, most] = [of(candidate), of(base) * maxFactor + slack];
    if (measured <= most) return [];
    return [`${what} is ${shown(measured)}${unit}, and ${shown(of(base))}${unit} with the active version`];
  };
  return [
    ...compare("its share of failed records", (arm) => arm.recordFailureRate, allowance.rate, ""),
    ...compare("its share of failed batches", (arm) => arm.errorRate, allowance.rate, ""),
    ...compare("its median time", (arm) => arm.timeMs(0.5), allowance.p50Ms, " ms"),
    ...(Math.min(base.batches, candidate.batches) < minBatchesForP99
      ? []
      : compare("its 99th percentile of time", (arm) => arm.timeMs(0.99), allowance.p99Ms, " ms")),
  ];
}

function shown(value: number): string {
  return String(Number(value.toPrecision(3)));
}

/** Copies in a row that may stop their workers before a shadow is ended. */
const maxShadowErrors = 3;

/** What the figures say: go on, or end the rollout. */
export type Verdict =
  | { readonly t: "go-on" }
  | { readonly t: "promote"; readonly why: string }
  | { readonly t: "roll-back"; readonly why: string };

/** Judges a rollout that runs. */
export function judge({ mode, rule, baseArm, candidateArm }: Rollout): Verdict {
  if (mode === "shadow" && candidateArm.errors >= maxShadowErrors)
    return {
      t: "roll-back",
      why: `${candidateArm.errors} copies ended with an error or stopped their worker`,
    };
  if (rule === undefined) return { t: "go-on" };
  if (candidateArm.batches + candidateArm.errors < rule.afterBatches) return { t: "go-on" };
  if (baseArm.batches + baseArm.errors < rule.afterBatches) return { t: "go-on" };
  const worse = worseIn(baseArm, candidateArm, rule.maxFactor);
  if (worse.length > 0) return { t: "roll-back", why: worse.join("; ") };
  const why = `after ${candidateArm.batches} batches it is no worse than the active version`;
  return { t: "promote", why };
}
