import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { systemClock } from "../clock.ts";
import { resolveLimits } from "../limits.ts";
import { Stats } from "../telemetry/stats.ts";
import { maxEndMs } from "./endings.ts";
import { Pool } from "./pool.ts";
import type { LinkEvents, StartLink } from "./worker-link.ts";

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

/** A pool of two workers; those of these numbers never end, as a thread does that V8 cannot stop. */
function poolOf(undying: readonly number[]) {
  let started = 0;
  let left = 0;
  const start: StartLink = (_memory, _start, events: LinkEvents) => {
    const number = ++started;
    const ended = Promise.withResolvers<void>();
    queueMicrotask(() => events.message({ type: "ready" }));
    return {
      cpu: { usedMs: () => undefined, yieldToOthers: () => {}, close: () => {} },
      post: () => {},
      ring: () => {},
      cancelled: () => {},
      recall: () => {},
      take: () => undefined,
      terminate: () => {
        if (undying.includes(number)) return;
        events.exited({ reason: "crash", problem: "" });
        ended.resolve();
      },
      ended: () => ended.promise,
      close: () => {},
    };
  };
  const limits = resolveLimits({ maxWorkers: 2, maxSpareWorkers: 0 });
  const nothing = (): void => {};
  const pool = new Pool({ limits, clock: systemClock, ledger: undefined, start }, new Stats(0, limits).pool, {
    completed: nothing,
    again: nothing,
    lost: nothing,
    fault: nothing,
    room: nothing,
    guest: nothing,
    stopped: nothing,
    undying: (workers) => {
      left = workers;
    },
  });
  return { pool, left: () => left };
}

test("the end of a pool waits for every worker's thread", async () => {
  const { pool, left } = poolOf([]);
  await pool.start();
  await pool.close();
  expect(left()).toBe(0);
  expect(pool.size).toBe(0);
});

test("but no longer than they may take: a thread that never ends is told of, and holds nobody up", async () => {
  const { pool, left } = poolOf([2]);
  await pool.start();
  let closed = false;
  const closing = pool.close().then(() => {
    closed = true;
  });
  await vi.advanceTimersByTimeAsync(maxEndMs - 1);
  expect(closed).toBe(false);
  await vi.advanceTimersByTimeAsync(1);
  await closing;
  expect(left()).toBe(1);
});
