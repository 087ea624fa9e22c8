import { expect, test } from "vitest";
import { restMs } from "./metrics-watches.ts";

test("watchers get what they asked for while snapshots are quick, and rest longer the more of them take long", () => {
  expect(restMs(1_000, 1, 1)).toBe(1_000);
  expect(restMs(100, 5, 1)).toBe(100);
  expect(restMs(100, 50, 1)).toBe(1_000);
  expect(restMs(100, 50, 16)).toBe(16_000);
});

test("however many watch, their snapshots take a twentieth of the time", () => {
  for (const open of [1, 4, 16]) expect((open * 50) / restMs(100, 50, open)).toBeCloseTo(0.05);
});
