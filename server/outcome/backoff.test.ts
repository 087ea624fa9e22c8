import { expect, test } from "vitest";
import { backoffMs } from "./backoff.ts";

const retry = {
  attempts: 5,
  initialBackoffMs: 100,
  maxBackoffMs: 1_000,
  factor: 3,
  jitter: 0.5,
  faults: false,
};

test("waits grow by the factor up to the longest", () => {
  expect([1, 2, 3, 4].map((tries) => backoffMs(retry, tries, 0))).toEqual([100, 300, 900, 1_000]);
});

test("chance shortens a wait by at most its share", () => {
  expect(backoffMs(retry, 1, 1)).toBe(50);
  expect(backoffMs({ ...retry, jitter: 0 }, 2, 1)).toBe(300);
});
