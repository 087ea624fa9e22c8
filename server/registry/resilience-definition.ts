/**
 * Checks a stage's policies on failure as a client or a file gives them.
 *
 * @module
 */

import type { BreakerPolicy, RetryPolicy } from "@leat/proto";
import type { BreakerSpec, RetrySpec } from "../bridge/pipeline-spec.ts";
import { leatError } from "../errors.ts";
import type { Limits } from "../limits.ts";
import { beyondLimit } from "./beyond-limit.ts";

/** What a stage without a retry policy gets. */
export const noRetry: RetrySpec = {
  attempts: 1,
  initialBackoffMs: 100,
  maxBackoffMs: 10_000,
  factor: 2,
  jitter: 0.2,
  faults: false,
};

/** What a stage without a breaker policy gets. */
export const defaultBreaker: BreakerSpec = {
  faults: 50,
  window: 100,
  openMs: 5_000,
  probes: 3,
  recordFailures: false,
};

/** The most that each wait may grow by. */
const maxFactor = 10;
/** The longest that a breaker may stay open before it tries, in milliseconds. */
const maxOpenMs = 3_600_000;

/** @throws LeatError PIPELINE_INVALID naming the field */
export function readRetry(retry: RetryPolicy | undefined, path: string, limits: Readonly<Limits>): RetrySpec {
  if (retry === undefined) return noRetry;
  const { maxRetryAttempts, maxRetryBackoffMs } = limits;
  const maxBackoffMs = withinLimit(
    `${path}.max_backoff_ms`,
    retry.maxBackoffMs || noRetry.maxBackoffMs,
    "maxRetryBackoffMs",
    maxRetryBackoffMs,
  );
  return {
    attempts: withinLimit(`${path}.attempts`, retry.attempts || 1, "maxRetryAttempts", maxRetryAttempts),
    initialBackoffMs: within(
      `${path}.initial_backoff_ms`,
      retry.initialBackoffMs || Math.min(noRetry.initialBackoffMs, maxBackoffMs),
      1,
      maxBackoffMs,
    ),
    maxBackoffMs,
    factor: within(`${path}.factor`, retry.factor || noRetry.factor, 1, maxFactor),
    jitter: within(`${path}.jitter`, retry.jitter ?? noRetry.jitter, 0, 1),
    faults: retry.faults,
  };
}

/** @throws LeatError PIPELINE_INVALID naming the field */
export function readBreaker(
  breaker: BreakerPolicy | undefined,
  path: string,
  limits: Readonly<Limits>,
): BreakerSpec | undefined {
  if (breaker === undefined) return defaultBreaker;
  if (breaker.disabled) return undefined;
  const window = withinLimit(
    `${path}.window`,
    breaker.window || defaultBreaker.window,
    "maxBreakerWindow",
    limits.maxBreakerWindow,
  );
  return {
    faults: within(`${path}.faults`, breaker.faults || Math.min(defaultBreaker.faults, window), 1, window),
    window,
    openMs: within(`${path}.open_ms`, breaker.openMs || defaultBreaker.openMs, 1, maxOpenMs),
    probes: within(`${path}.probes`, breaker.probes || Math.min(defaultBreaker.probes, window), 1, window),
    recordFailures: breaker.recordFailures,
  };
}

function withinLimit(field: string, value: number, limit: keyof Limits, most: number): number {
  if (value >= 1 && value <= most) return value;
  throw beyondLimit(field, value, 1, limit, most);
}

function within(field: string, value: number, least: number, most: number): number {
  if (value >= least && value <= most) return value;
  throw leatError("PIPELINE_INVALID", { field, problem: `${value} is outside of ${least} to ${most}` });
}
