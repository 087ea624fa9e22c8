/**
 * Which records of a batch are tried again, and after how long.
 *
 * @module
 */

import type { FailureMatter } from "../bridge/from-worker.ts";
import type { StageSpec } from "../bridge/pipeline-spec.ts";
import { backoffMs } from "./backoff.ts";

/** Records that are tried again together. */
export interface RetryWait {
  /** The stage whose policy asks for it. */
  readonly stage: number;
  /** In milliseconds from now. */
  readonly waitMs: number;
  /** Their places in the batch, in order. Not empty. */
  readonly indexes: readonly number[];
}

/**
 * Plans the next tries of records that have failed. Each stands in one wait only: one that was split and failed at several
 * stages waits for the longest that these ask for, and its next try is that of all its parts.
 *
 * @param matters - what is left of runs that have ended
 * @param tries - by record, how often it was run
 * @param random - a number from 0 to 1
 */
export function planRetries(
  matters: readonly FailureMatter[],
  stages: readonly Pick<StageSpec, "retry">[],
  tries: Readonly<Uint32Array>,
  random: () => number,
): RetryWait[] {
  const waits = new Map<number, number>();
  const stageOf = new Map<number, number>();
  for (const { index, stage, retry: mayRetry } of matters) {
    const retry = stages[stage]?.retry;
    const done = tries[index] ?? 0;
    if (!mayRetry || retry === undefined || done >= retry.attempts) continue;
    const waitMs = waits.get(stage) ?? backoffMs(retry, done, random());
    waits.set(stage, waitMs);
    const chosen = stageOf.get(index);
    if (chosen === undefined || (waits.get(chosen) ?? 0) < waitMs) stageOf.set(index, stage);
  }
  const plan: RetryWait[] = [];
  for (const [stage, waitMs] of waits) {
    const indexes = [...stageOf].filter(([, chosen]) => chosen === stage).map(([index]) => index);
    if (indexes.length > 0) plan.push({ stage, waitMs, indexes: indexes.sort((a, b) => a - b) });
  }
  return plan;
}
