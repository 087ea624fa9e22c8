/**
 * How long to wait before a record is tried again.
 *
 * @module
 */

import type { RetrySpec } from "../bridge/pipeline-spec.ts";

/**
 * The wait after so many tries, in milliseconds: exponential, bounded, with a share left to chance so that
 * records that failed together do not come back together.
 *
 * @param tries - how often the record was tried, at least 1
 * @param random - a number from 0 to 1
 */
export function backoffMs(retry: RetrySpec, tries: number, random: number): number {
  const fullMs = Math.min(retry.maxBackoffMs, retry.initialBackoffMs * retry.factor ** (tries - 1));
  return fullMs * (1 - retry.jitter * random);
}
