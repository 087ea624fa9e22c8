import { describe, expect, test } from "vitest";
import { Backlog } from "./backlog.ts";

/** A backlog whose batches are answered at a pace for a while, with so many always waiting. */
function busy(backlog: Backlog, waiting: number, intervalMs: number, fromMs: number, forMs: number): number {
  let nowMs = fromMs;
  for (; nowMs < fromMs + forMs; nowMs += intervalMs) {
    backlog.expectedMs(nowMs);
    backlog.add();
    backlog.remove(true);
  }
  expect(backlog.expectedMs(nowMs) / intervalMs).toBeCloseTo(waiting, 0);
  return nowMs;
}

describe("the wait that a batch would have", () => {
  test("is what waits times the pace at which answers come", () => {
    const backlog = new Backlog();
    for (let n = 0; n < 100; n++) backlog.add();
    const nowMs = busy(backlog, 100, 2, 1_000, 1_000);
    busy(backlog, 100, 4, nowMs, 2_000);
  });

  test("is not known before answers came while others waited", () => {
    const backlog = new Backlog();
    for (let nowMs = 0; nowMs < 10_000; nowMs += 100) {
      backlog.add();
      expect(backlog.expectedMs(nowMs)).toBe(0);
      backlog.remove(true);
    }
  });

  test("grows while nothing is answered", () => {
    const backlog = new Backlog();
    backlog.expectedMs(0);
    for (let n = 0; n < 3; n++) backlog.add();
    backlog.expectedMs(100);
    expect(backlog.expectedMs(500)).toBe(3 * 400);
    expect(backlog.expectedMs(1_100)).toBe(3 * 1_000);
  });

  test("is not known while batches that take long find free workers, nor from what these took before all were busy", () => {
    const backlog = new Backlog();
    let nowMs = 10_000;
    for (let worker = 0; worker < 4; worker++) {
      backlog.add();
      backlog.foundFree(nowMs);
      nowMs += 3_000;
    }
    expect(backlog.expectedMs(nowMs)).toBe(0);
    // From then on all were busy.
    expect(backlog.expectedMs(nowMs + 3_000)).toBe(4 * 3_000);
    backlog.remove(true);
    for (let call = 0; call < 4; call++) {
      nowMs += 20;
      backlog.add();
      backlog.foundFree(nowMs);
      backlog.remove(true);
    }
    expect(backlog.expectedMs(nowMs)).toBeLessThan(4 * 50);
  });

  test("does not get shorter by batches that were given up", () => {
    const backlog = new Backlog();
    for (let n = 0; n < 100; n++) backlog.add();
    const nowMs = busy(backlog, 100, 2, 1_000, 1_000);
    for (let n = 0; n < 50; n++) backlog.remove(false);
    expect(backlog.expectedMs(nowMs + 1) / 2).toBeCloseTo(50, 0);
  });

  test("is over when nothing waits", () => {
    const backlog = new Backlog();
    for (let n = 0; n < 100; n++) backlog.add();
    busy(backlog, 100, 2, 1_000, 1_000);
    for (let n = 0; n < 100; n++) backlog.remove(true);
    expect(backlog.expectedMs(2_010)).toBe(0);
  });
});
