import { describe, expect, test } from "vitest";
import { WorkerStops } from "./worker-stops.ts";

const limits = { maxWorkerStops: 3, workerStopWindowMs: 1_000 };

describe("a module that stops workers", () => {
  test("is told of when it has done so as often as it may within the window", () => {
    const stops = new WorkerStops(limits);
    expect([0, 400, 900].map((atMs) => stops.note("a", atMs))).toEqual([false, false, true]);
  });

  test("is not told of for stops that are longer ago", () => {
    const stops = new WorkerStops(limits);
    expect([0, 600, 1_200, 1_800].map((atMs) => stops.note("a", atMs))).toEqual([false, false, false, false]);
  });

  test("is counted for itself, and anew after it was told of", () => {
    const stops = new WorkerStops(limits);
    expect(["a", "b", "a", "b", "a", "a"].map((digest) => stops.note(digest, 5))).toEqual([
      false,
      false,
      false,
      false,
      true,
      false,
    ]);
  });

  test("is never told of where the limit is 0", () => {
    const stops = new WorkerStops({ ...limits, maxWorkerStops: 0 });
    for (let atMs = 0; atMs < 100; atMs++) expect(stops.note("a", atMs)).toBe(false);
  });

  test("is forgotten when a thousand others have done so since", () => {
    const stops = new WorkerStops(limits);
    stops.note("a", 0);
    stops.note("a", 0);
    for (let other = 0; other < 1_000; other++) stops.note(`other ${other}`, 1);
    expect(stops.note("a", 2)).toBe(false);
  });
});
