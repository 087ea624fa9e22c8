import { expect, test } from "vitest";
import { idlePipeline, idleStage } from "../../test/kit/jobs.ts";
import { resolveLimits } from "../limits.ts";
import { answerWithinMs, SentSlots } from "./sent-slots.ts";

/** What was sent at a time, to be answered within 100 ms. */
const sentAt = (submittedMs: number) => ({
  stages: 1,
  segments: 1,
  transferred: undefined,
  submittedMs,
  answerWithinMs: 100,
  recalled: false,
  reported: false,
});

test("a slot has its time from when it was sent, or the last before it has completed", () => {
  const slots = new SentSlots(4);
  slots.add(2, sentAt(0));
  slots.add(1, sentAt(0));
  expect(slots.overdue(100)).toBeUndefined();
  slots.complete(2, 90);
  expect(slots.overdue(190)).toBeUndefined();
  expect(slots.overdue(191)).toBe(1);
  slots.complete(1, 191);
  expect(slots.overdue(10_000)).toBeUndefined();
});

test("of several it is the one that was sent first", () => {
  const slots = new SentSlots(4);
  slots.add(3, sentAt(10));
  slots.add(0, sentAt(20));
  slots.add(1, sentAt(5));
  expect(slots.overdue(1_000)).toBe(1);
});

test("one that is not answered is found although others are answered all the time", () => {
  const slots = new SentSlots(4);
  slots.add(0, sentAt(0));
  let foundMs: number | undefined;
  for (let nowMs = 1; foundMs === undefined && nowMs < 1_000; nowMs++) {
    slots.add(1, sentAt(nowMs));
    slots.complete(1, nowMs);
    if (slots.overdue(nowMs) === 0) foundMs = nowMs;
  }
  // Four may have been before it; then its own time begins.
  expect(foundMs).toBe(4 + 101);
});

test("the time is more than the watchdog lets an honest process have, whatever is being compiled", () => {
  const limits = resolveLimits({ maxFaultsPerBatch: 3, maxInitMs: 50, maxWallTimeFactor: 4 });
  const stages = [idleStage({ batchTimeoutMs: 400 }), idleStage({ batchTimeoutMs: 100 })];
  const { spec } = idlePipeline(stages, undefined, limits);
  expect(answerWithinMs(spec, 1_000)).toBe((5 * 500 + 50) * 4 + 1_000);
});
