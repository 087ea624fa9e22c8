import type { Socket } from "node:net";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { idlePipeline, jobOf } from "../../test/kit/jobs.ts";
import { RingWriter, SlotMemory } from "../bridge/channel.ts";
import { FrameReader, FromChild, frameHeadBytes, jsonFrame, ToChild } from "../bridge/frames.ts";
import { layoutFor, Outcome, Slot } from "../bridge/layout.ts";
import { submitFrame } from "../bridge/slot-frames.ts";
import { resolveLimits } from "../limits.ts";
import { Crossing } from "../pool/crossing.ts";
import { writeCrossing } from "../pool/slot-writer.ts";
import { controlIntervalMs, Relay } from "./relay.ts";

const threads = vi.hoisted(() => ({ memories: [] as unknown[] }));

// A thread that does nothing by itself.
vi.mock("../pool/thread-link.ts", () => ({
  ThreadLink: class {
    constructor(memory: unknown) {
      threads.memories.push(memory);
    }
    post(): void {}
    ring(): void {}
    take(): undefined {}
  },
}));

const limits = resolveLimits({
  maxWorkerQueue: 2,
  maxCoalescedBytes: 64,
  slotInputBytes: 64,
  slotOutputBytes: 64,
});

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
});

afterEach(() => {
  vi.useRealTimers();
});

test("a batch that has completed is told although the thread does not say so, having begun a long one", async () => {
  const told: number[] = [];
  const reader = new FrameReader(
    () => Number.MAX_SAFE_INTEGER,
    (type) => told.push(type),
  );
  const socket = { cork: () => {}, uncork: () => {}, write: (frame: Buffer) => reader.push(frame) };
  const relay = new Relay(socket as unknown as Socket, { limits, worker: 1, threadName: "t" });
  const { spec } = idlePipeline([]);
  relay.take(ToChild.load, jsonFrame(ToChild.load, spec).subarray(frameHeadBytes));
  const server = new SlotMemory(layoutFor(limits));
  for (const slot of [0, 1]) {
    writeCrossing(server, slot, new Crossing([jobOf(idlePipeline([]))]));
    relay.take(ToChild.submit, submitFrame(server, slot, undefined).subarray(frameHeadBytes));
  }
  const memory = threads.memories[0] as SlotMemory;
  memory.words[memory.slot(0) + Slot.outcome] = Outcome.cancelled;
  new RingWriter(memory, "complete").push(0);
  expect(told).toEqual([]);
  vi.advanceTimersByTime(controlIntervalMs);
  expect(told).toContain(FromChild.completed);
});
