import type { Transport } from "@connectrpc/connect";
import { Code } from "@connectrpc/connect";
import { beforeEach, expect, test, vi } from "vitest";
import { Leat } from "../index.ts";

const dayMs = 86_400_000;
let timeouts: (number | undefined)[] = [];

/** A server that never answers, and the timeouts with which it was called. */
const silent: Transport = {
  unary: () => new Promise(() => {}),
  stream: (_method, _signal, timeoutMs) => {
    timeouts.push(timeoutMs);
    return new Promise(() => {});
  },
};

beforeEach(() => {
  timeouts = [];
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  return () => vi.useRealTimers();
});

async function endAfter(leat: Leat, timeoutMs: number, passMs: number): Promise<unknown> {
  let end: unknown = "open";
  const note = (outcome: unknown): void => {
    end = outcome;
  };
  leat.stream("any", [], { timeoutMs }).next().then(note, note);
  await vi.advanceTimersByTimeAsync(passMs);
  return end;
}

test("a deadline that is further off than any timer waits is kept, and not before", async () => {
  await using leat = new Leat({ transport: silent });
  expect(await endAfter(leat, 60 * dayMs, 60 * dayMs - 1)).toBe("open");
  expect(await endAfter(leat, 60 * dayMs, 60 * dayMs)).toMatchObject({ code: Code.DeadlineExceeded });
  expect(await endAfter(leat, dayMs, dayMs)).toMatchObject({ code: Code.DeadlineExceeded });
  // A transport has timers, too: it is told of deadlines that those can wait for.
  expect(timeouts).toEqual([undefined, undefined, dayMs]);
});

test("a deadline of Infinity is none", async () => {
  await using leat = new Leat({ transport: silent });
  expect(await endAfter(leat, Infinity, 400 * dayMs)).toBe("open");
  expect([vi.getTimerCount(), timeouts]).toEqual([0, [undefined]]);
});
