import { describe, expect, test } from "vitest";
import { clockOf } from "../../test/kit/clocks.ts";
import type { FromWorker } from "../bridge/from-worker.ts";
import { GuestReports } from "./guest-reports.ts";

const limits = {
  maxStages: 16,
  maxLogLinesPerSecond: 10,
  maxStageLogLinesPerSecond: 6,
  maxCountersPerStage: 4,
};

function setUp() {
  const posted: FromWorker[] = [];
  let nowMs = 0;
  const reports = new GuestReports(
    { postMessage: (message: FromWorker) => posted.push(message) },
    limits,
    clockOf(() => nowMs),
  );
  return {
    posted,
    reports,
    at: (ms: number) => {
      nowMs = ms;
    },
    /** How many of so many lines were passed on. */
    flood: (stage: number, lines: number) =>
      Array.from({ length: lines }, () => reports.log(1, stage, 1, "x")).filter(Boolean).length,
  };
}

describe("log lines", () => {
  test("of one stage have a share of a worker's, so that others can be heard beside a flood", () => {
    const { flood, posted } = setUp();
    expect([flood(0, 100_000), flood(1, 100_000), flood(2, 100_000)]).toEqual([6, 4, 0]);
    expect(posted).toHaveLength(10);
  });

  test("are let through anew each second, and each line is said to be passed on or not", () => {
    const { flood, posted, at } = setUp();
    for (let second = 0; second < 5; second++) {
      at(second * 1_000);
      expect(flood(0, 1_000)).toBe(6);
    }
    expect(posted).toHaveLength(30);
  });

  test("come through when the clock is set back", () => {
    const { flood, at } = setUp();
    at(10_000);
    expect(flood(0, 100)).toBe(6);
    at(3_000);
    expect(flood(0, 100)).toBe(6);
  });
});

describe("counters", () => {
  test("of any number of names are a bounded message, whose sums are all that was added", () => {
    const { reports, posted } = setUp();
    const named = Array.from({ length: 10_000 }, (_, name) => reports.count(1, 0, `n${name}`, 1));
    expect(named.filter(Boolean)).toHaveLength(4);
    expect(posted).toEqual([]);
    reports.flush();
    expect(posted).toEqual([
      {
        type: "counters",
        pipeline: 1,
        stage: 0,
        deltas: [
          ["n0", 1],
          ["n1", 1],
          ["n2", 1],
          ["n3", 1],
          ["other", 9_996],
        ],
      },
    ]);
  });

  test("stay numbers however much is added", () => {
    const { reports, posted } = setUp();
    for (let time = 0; time < 3; time++) reports.count(1, 0, "n", Number.MAX_VALUE);
    reports.flush();
    expect(posted[0]).toMatchObject({ deltas: [["n", Number.MAX_VALUE]] });
  });

  test("are sent once", () => {
    const { reports, posted } = setUp();
    reports.count(1, 0, "n", 1);
    reports.flush();
    reports.flush();
    expect(posted).toHaveLength(1);
  });
});
