import { expect, test } from "vitest";
import { CallPace } from "./call-pace.ts";

test("a few calls share a crossing before anything is known", () => {
  expect(new CallPace().callsWithin(2)).toBe(64);
});

test("as many share one as run within the time, and one always may", () => {
  const pace = new CallPace();
  pace.ran(100, 1);
  expect(pace.callsWithin(2)).toBe(200);
  const slow = new CallPace();
  slow.ran(1, 10);
  expect(slow.callsWithin(2)).toBe(1);
});

test("the pace follows what changes, and no single crossing decides it", () => {
  const pace = new CallPace();
  for (let n = 0; n < 20; n++) pace.ran(10, 0.1);
  pace.ran(1, 1);
  expect(pace.callsWithin(2)).toBeGreaterThan(2);
  for (let n = 0; n < 40; n++) pace.ran(1, 1);
  expect(pace.callsWithin(2)).toBe(2);
});
