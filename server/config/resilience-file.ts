/**
 * A stage's policies on failure as people write them in a pipelines file.
 *
 *     retry: { attempts: 3, initial: 100ms, max: 10s, factor: 2, jitter: 0.2, faults: true }
 *     breaker: { faults: 50, window: 100, open: 5s, probes: 3, record_failures: true }
 *     breaker: { disabled: true }
 *
 * @module
 */

import type { MessageInitShape } from "@bufbuild/protobuf";
import type { BreakerPolicySchema, RetryPolicySchema } from "@leat/proto";
import type { z } from "zod";
import { count, numberFrom, ratio, time, yesOrNo } from "./kinds.ts";
import { mapping, value } from "./validate.ts";

/** `retry` of a stage. What the numbers may be is for the server to say. */
export const retrySchema = mapping({
  attempts: value(count(1)),
  initial: value(time(1)).optional(),
  max: value(time(1)).optional(),
  factor: value(numberFrom(1)).optional(),
  jitter: value(ratio).optional(),
  faults: value(yesOrNo).optional(),
});

/** `breaker` of a stage. */
export const breakerSchema = mapping({
  disabled: value(yesOrNo).optional(),
  faults: value(count(1)).optional(),
  window: value(count(1)).optional(),
  open: value(time(1)).optional(),
  probes: value(count(1)).optional(),
  record_failures: value(yesOrNo).optional(),
});

/** The policy as a message. */
export function retryInput(retry: z.infer<typeof retrySchema>): MessageInitShape<typeof RetryPolicySchema> {
  const { attempts, initial = 0, max = 0, factor = 0, jitter, faults = false } = retry;
  return {
    attempts,
    initialBackoffMs: initial,
    maxBackoffMs: max,
    factor,
    faults,
    ...(jitter === undefined ? {} : { jitter }),
  };
}

/** The policy as a message. */
export function breakerInput(
  breaker: z.infer<typeof breakerSchema>,
): MessageInitShape<typeof BreakerPolicySchema> {
  const { disabled = false, faults = 0, window = 0, open = 0, probes = 0, record_failures = false } = breaker;
  return { disabled, faults, window, openMs: open, probes, recordFailures: record_failures };
}
