/**
 * What a worker's process says in JSON, checked as what comes from a stranger.
 *
 * @module
 */

import { z } from "zod";
import { type ChildProblem, FrameError } from "../bridge/frames.ts";
import type { GuestCounters, GuestLog, Report } from "../bridge/from-worker.ts";
import type { Limits } from "../limits.ts";
import { mostFailures } from "../record/result.ts";

/** A message as it comes, before it is checked. */
export type ChildMessage = Report | GuestLog | GuestCounters;

/** Makes the check for messages under these limits. */
export function childMessages(limits: Readonly<Limits>): (payload: Buffer) => ChildMessage {
  const { layoutSlots, ...most } = bounds(limits);
  const count = z.int().min(0);
  const text = (maxBytes: number) => z.string().max(maxBytes);
  const code = z.string().regex(/^[a-z][a-z0-9_]{0,63}$/);
  const stage = count.max(limits.maxStages - 1);
  const report = z.strictObject({
    type: z.literal("report"),
    slot: count.max(layoutSlots - 1),
    problem: text(most.problem).optional(),
    failures: z.array(z.strictObject({ stage, code, count })).max(most.failures),
    samples: z
      .array(z.strictObject({ index: count, code, message: text(most.message), stage: text(128) }))
      .max(most.failures),
    matters: z
      .array(
        z.strictObject({
          index: count,
          stage,
          code,
          message: text(most.message),
          retry: z.boolean(),
          letter: z.boolean(),
          input: z
            .base64()
            .transform((encoded) => new Uint8Array(Buffer.from(encoded, "base64")))
            .optional(),
        }),
      )
      .max(most.failures),
  });
  const log = z.strictObject({
    type: z.literal("log"),
    pipeline: z.int(),
    stage,
    level: count.max(3),
    text: text(most.line),
  });
  const counters = z.strictObject({
    type: z.literal("counters"),
    pipeline: z.int(),
    stage,
    deltas: z.array(z.tuple([text(limits.maxCounterNameBytes), z.number()])).max(limits.maxCountersPerStage),
  });
  const any = z.discriminatedUnion("type", [report, log, counters]);
  return (payload) => parse(any, payload) as ChildMessage;
}

const problem = z.strictObject({
  reason: z.enum(["crash", "out_of_memory"]),
  problem: z.string().max(4_096),
});

/** Reads what is said to have ended the worker. @throws FrameError */
export function childProblem(payload: Buffer): ChildProblem {
  return parse(problem, payload);
}

/** The largest frame that a worker may have a reason to send: a result, or a report on every record of a batch. */
export function maxFrameBytes(limits: Readonly<Limits>): number {
  const failureBytes = limits.maxFailureTextBytes + 2_048;
  // A report has inputs as base64, and each message in its samples and matters.
  return (
    limits.maxResultBytes * 2 +
    2 * limits.maxBatchRecords * failureBytes +
    2 * limits.maxBatchBytes * limits.maxStages
  );
}

function bounds(limits: Readonly<Limits>) {
  return {
    layoutSlots: 2 ** Math.ceil(Math.log2(limits.maxWorkerQueue * 4)),
    problem: 16_384,
    // Of each input one at each stage that tries it again, and all that an answer tells.
    failures: Math.max(limits.maxBatchRecords * limits.maxStages, mostFailures(limits)),
    // Hosts put words of their own around what a guest says.
    message: limits.maxFailureTextBytes + 1_024,
    line: limits.maxLogLineBytes + 64,
  };
}

function parse<T>(schema: z.ZodType<T>, payload: Buffer): T {
  let value: unknown;
  try {
    value = JSON.parse(payload.toString("utf8"));
  } catch {
    throw new FrameError("a message that is no JSON");
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new FrameError(`a message whose ${issue?.path.join(".") || "whole"} is wrong: ${issue?.message}`);
}
