import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { clockOf } from "../../test/kit/clocks.ts";
import { idlePipeline, jobOf } from "../../test/kit/jobs.ts";
import { RingReader, RingWriter } from "../bridge/channel.ts";
import { completedMessage } from "../bridge/from-worker.ts";
import { resolveLimits } from "../limits.ts";
import { Stats } from "../telemetry/stats.ts";
import { Crossing } from "./crossing.ts";
import { Pool } from "./pool.ts";
import type { LinkEvents, StartLink } from "./worker-link.ts";

const limits = resolveLimits({ maxWorkers: 1, maxSpareWorkers: 0, maxExtraWorkers: 0 });
const crash = { reason: "crash", problem: "the thread does not start" } as const;

const pools: Pool[] = [];

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "Date"] });
});

afterEach(async () => {
  for (const pool of pools.splice(0)) await pool.close();
  vi.useRealTimers();
});

/** What pools tell that no test here listens to. */
const unheard = {
  lost: () => {},
  fault: () => {},
  guest: () => {},
  stopped: () => {},
  undying: () => {},
};

/** A pool whose workers start, or fail to, as the test says; those that run complete what they are handed at once. */
function setUp() {
  const startedAtMs: number[] = [];
  const running: LinkEvents[] = [];
  const completed: Crossing[] = [];
  const waiting: Crossing[] = [];
  let working = true;
  const start: StartLink = (memory, _, events) => {
    startedAtMs.push(Date.now());
    const submitted = new RingReader(memory, "submit");
    const complete = new RingWriter(memory, "complete");
    const ended = Promise.withResolvers<void>();
    const starts = working;
    // As a thread does: later than it was asked for.
    queueMicrotask(() => {
      if (!starts) return events.exited(crash);
      running.push(events);
      events.message({ type: "ready" });
    });
    return {
      cpu: { usedMs: () => undefined, yieldToOthers: () => {}, close: () => {} },
      post: () => {},
      ring: () => {
        for (let slot = submitted.take(); slot >= 0; slot = submitted.take()) complete.push(slot);
        events.message(completedMessage);
      },
      cancelled: () => {},
      recall: () => {},
      take: () => undefined,
      terminate: () => {
        events.exited(crash);
        ended.resolve();
      },
      ended: () => ended.promise,
      close: () => {},
    };
  };
  const handOver = (): void => {
    while (pool.hasRoom && waiting.length > 0) pool.dispatch(waiting.shift() as Crossing);
    pool.wake();
  };
  const pool = new Pool(
    { limits, clock: clockOf(() => Date.now()), ledger: undefined, start },
    new Stats().pool,
    {
      completed: (worker, crossing, slot) => {
        completed.push(crossing);
        worker.holdSlot(slot, 1);
        worker.releaseSlot(slot);
      },
      again: (crossing) => void waiting.unshift(crossing),
      room: handOver,
      ...unheard,
    },
  );
  pools.push(pool);
  return {
    pool,
    completed,
    waiting,
    /** Milliseconds between each start and the one before it. */
    waits: () => startedAtMs.slice(1).map((atMs, index) => atMs - (startedAtMs[index] ?? 0)),
    starts: () => startedAtMs.length,
    /** From now on workers start, or do not. */
    set working(value: boolean) {
      working = value;
    },
    crashAll: () => void running.splice(0).map((events) => events.exited(crash)),
  };
}

describe("workers that do not start", () => {
  test("make the start of the pool fail after some in a row", async () => {
    const kit = setUp();
    kit.working = false;
    await expect(kit.pool.start()).rejects.toMatchObject({ reason: "INTERNAL" });
    expect(kit.starts()).toBe(5);
  });

  test("are started again ever more slowly, up to half a minute", async () => {
    const kit = setUp();
    await kit.pool.start();
    kit.working = false;
    kit.crashAll();
    await vi.advanceTimersByTimeAsync(200_000);
    const doubling = Array.from({ length: 9 }, (_, index) => 100 * 2 ** index);
    // The crash of one that ran is no failed start.
    expect(kit.waits().slice(0, 16)).toEqual([0, 0, 0, 0, 0, ...doubling, 30_000, 30_000]);
  });

  test("are started at once again when one has been ready", async () => {
    const kit = setUp();
    await kit.pool.start();
    kit.working = false;
    kit.crashAll();
    await vi.advanceTimersByTimeAsync(1_000);
    kit.working = true;
    await vi.advanceTimersByTimeAsync(10_000);
    const before = kit.starts();
    kit.working = false;
    kit.crashAll();
    await vi.advanceTimersByTimeAsync(500);
    expect(kit.waits().slice(before)).toEqual([0, 0, 0, 0, 100, 200]);
  });

  test("keep batches waiting, which are answered when one starts", async () => {
    const kit = setUp();
    await kit.pool.start();
    kit.working = false;
    kit.crashAll();
    await vi.advanceTimersByTimeAsync(60_000);
    const crossings = Array.from({ length: 20 }, () => new Crossing([jobOf(idlePipeline())]));
    for (const crossing of crossings) {
      expect(kit.pool.hasRoom).toBe(false);
      expect(kit.pool.dispatch(crossing)).toBeUndefined();
      kit.waiting.push(crossing);
    }
    kit.working = true;
    await vi.advanceTimersByTimeAsync(30_000);
    expect(kit.waiting).toEqual([]);
    expect(kit.completed).toEqual(crossings);
  });
});
