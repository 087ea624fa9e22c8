import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Spares } from "./spares.ts";
import type { WorkerHandle } from "./worker-handle.ts";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
});

afterEach(() => {
  vi.useRealTimers();
});

/** Spares that are ready at once. */
function setUp() {
  const spawn = vi.fn(() => ({ state: { t: "ready" } }) as WorkerHandle);
  const held = vi.fn();
  const spares = new Spares(spawn, held);
  spares.fill(1, false);
  return { spares, spawn, held };
}

test("the one that is taken has the processors for itself before another starts", () => {
  const { spares, spawn, held } = setUp();
  expect(spares.take()).toBeDefined();
  spares.hold();
  spares.hold();
  spares.fill(1, false);
  expect(spawn).toHaveBeenCalledTimes(1);
  vi.advanceTimersByTime(99);
  expect(held).not.toHaveBeenCalled();
  vi.advanceTimersByTime(1);
  expect(held).toHaveBeenCalledTimes(1);
  spares.fill(1, false);
  expect(spawn).toHaveBeenCalledTimes(2);
});

test("another starts at once for who waits for it", () => {
  const { spares, spawn } = setUp();
  spares.take();
  spares.hold();
  spares.fill(1, true);
  expect(spawn).toHaveBeenCalledTimes(2);
});

test("nobody is told any more when they are closed", () => {
  const { spares, held } = setUp();
  spares.hold();
  spares.close();
  vi.advanceTimersByTime(1_000);
  expect(held).not.toHaveBeenCalled();
});
