import { describe, expect, test } from "vitest";
import { idlePipeline, idleStage, jobOf } from "../../test/kit/jobs.ts";
import { SlotMemory } from "../bridge/channel.ts";
import { frameHeadBytes } from "../bridge/frames.ts";
import { ExclusionCode, layoutFor, maxExclusions, SegmentWord, Slot, wholeStage } from "../bridge/layout.ts";
import { acceptSubmit, submitFrame } from "../bridge/slot-frames.ts";
import { resolveLimits } from "../limits.ts";
import { Crossing } from "./crossing.ts";
import { writeCrossing } from "./slot-writer.ts";

const limits = resolveLimits({ maxStages: 3, maxCoalescedCalls: 0, maxWorkerQueue: 1 });

/** A crossing with so many exclusions. */
function crossingWith(exclusions: number): Crossing {
  const crossing = new Crossing([jobOf(idlePipeline([idleStage(), idleStage(), idleStage()]))]);
  crossing.exclusions = Array.from({ length: exclusions }, (_, record) =>
    record < maxExclusions
      ? { stage: 1, record, code: ExclusionCode.workerLost }
      : { stage: record - maxExclusions, record: wholeStage, code: ExclusionCode.breakerOpen },
  );
  return crossing;
}

describe("all that may be left out of a run, and each stage for its breaker besides,", () => {
  test("fits the slot and touches no other, and more is refused", () => {
    const memory = new SlotMemory(layoutFor(limits));
    const next = memory.words.subarray(memory.slot(1), memory.slot(2)).fill(77);
    writeCrossing(memory, 0, crossingWith(maxExclusions + 3));
    expect(memory.words[memory.slot(0) + Slot.exclusions]).toBe(maxExclusions + 3);
    expect(new Set(next)).toEqual(new Set([77]));
    expect(() => writeCrossing(memory, 0, crossingWith(maxExclusions + 4))).toThrow("room for 67");
  });

  test("goes to a process", () => {
    const [memory, there] = [new SlotMemory(layoutFor(limits)), new SlotMemory(layoutFor(limits))];
    writeCrossing(memory, 2, crossingWith(maxExclusions + 3));
    acceptSubmit(there, submitFrame(memory, 2, undefined).subarray(frameHeadBytes));
    const table = (of: SlotMemory): Int32Array => of.words.subarray(of.exclusion(2, 0), of.slot(3));
    expect(table(there)).toEqual(table(memory));
    expect(there.words[there.slot(2) + Slot.exclusions]).toBe(maxExclusions + 3);
    expect(there.exclusion(2, maxExclusions + 3)).toBe(there.slot(3));
  });
});

test("where no calls are merged, a slot has its one call", () => {
  const memory = new SlotMemory(layoutFor(limits));
  writeCrossing(memory, 0, crossingWith(1));
  expect(memory.layout.maxSegments).toBe(1);
  expect(memory.segment(0, 1)).toBe(memory.exclusion(0, 0));
  expect(memory.words[memory.segment(0, 0) + SegmentWord.length]).toBe(10);
});
