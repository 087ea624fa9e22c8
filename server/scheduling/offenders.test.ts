import { describe, expect, test } from "vitest";
import { clockOf } from "../../test/kit/clocks.ts";
import { idlePipeline, idleStage, jobOf } from "../../test/kit/jobs.ts";
import { Crossing } from "../pool/crossing.ts";
import { Offenders } from "./offenders.ts";

const limits = {
  laneOffences: 3,
  laneWindow: 10,
  laneMs: 1_000,
  maxLaneMs: 3_000,
  laneCpuFactor: 20,
  maxStallMs: 20,
};

function pipelineOf(module: string) {
  return idlePipeline([idleStage({ module, digest: `sha256:${module}` })]);
}

function setUp(overrides: Partial<typeof limits> = {}) {
  let nowMs = 0;
  let waiting = true;
  const changes: string[] = [];
  const offenders = new Offenders(
    { ...limits, ...overrides },
    clockOf(() => nowMs),
    () => waiting,
    (change, { module }) => changes.push(`${module} ${change}`),
  );
  const [bad, good] = [pipelineOf("bad"), pipelineOf("good")];
  const stop = (times = 1): void => {
    for (let time = 0; time < times; time++) offenders.stopped(new Crossing([jobOf(bad)]), 0);
  };
  const run = (pipeline: typeof bad, cpuMs: number, faults = 0, times = 1): void => {
    for (let time = 0; time < times; time++) offenders.ran(new Crossing([jobOf(pipeline)]), 0, cpuMs, faults);
  };
  return {
    offenders,
    changes,
    bad,
    good,
    stop,
    run,
    confined: () => offenders.confines(bad.spec),
    at: (ms: number) => {
      nowMs = ms;
    },
    nobodyWaits: () => {
      waiting = false;
    },
  };
}

describe("a module is confined", () => {
  test("when its batches bring workers down, whether or not others wait", () => {
    const { stop, confined, nobodyWaits, offenders, good } = setUp();
    nobodyWaits();
    stop(2);
    expect(confined()).toBe(false);
    stop();
    expect(confined()).toBe(true);
    expect(offenders.confines(good.spec)).toBe(false);
    expect(offenders.list()).toMatchObject([
      { module: "bad", version: "1", digest: "sha256:bad", sinceMs: 0, untilMs: 1_000 },
    ]);
  });

  test("when its batches fault while others wait", () => {
    const { run, bad, confined } = setUp();
    run(bad, 1, 1, 3);
    expect(confined()).toBe(true);
  });

  test("when its batches run long while others wait, and far longer than theirs", () => {
    const { run, bad, good, confined, offenders } = setUp();
    run(good, 1, 0, 100);
    run(bad, 30, 0, 3);
    expect(confined()).toBe(true);
    expect(offenders.list()[0]?.why).toContain("30 ms");
  });

  test("in every pipeline that has a stage of it", () => {
    const { stop, offenders } = setUp();
    stop(3);
    const stages = ["good", "bad"].map((module) => idleStage({ module, digest: `sha256:${module}` }));
    expect(offenders.confines(idlePipeline(stages).spec)).toBe(true);
  });
});

describe("a module is not confined", () => {
  test("for faults and long batches from which nobody suffers", () => {
    const { run, bad, good, confined, nobodyWaits } = setUp();
    nobodyWaits();
    run(good, 1, 0, 100);
    run(bad, 30, 1, 50);
    expect(confined()).toBe(false);
  });

  test("for long batches where others take as long, or where there are no others", () => {
    const { run, bad, good, confined } = setUp();
    run(bad, 30, 0, 50);
    expect(confined()).toBe(false);
    run(good, 25, 0, 100);
    run(bad, 30, 0, 50);
    expect(confined()).toBe(false);
  });

  test("for short batches, however much shorter those of others are", () => {
    const { run, bad, good, confined } = setUp();
    run(good, 0.01, 0, 100);
    run(bad, 15, 0, 50);
    expect(confined()).toBe(false);
  });

  test("for an offence now and then", () => {
    const { run, bad, stop, confined } = setUp();
    for (let round = 0; round < 20; round++) {
      stop(2);
      run(bad, 1, 0, 10);
    }
    expect(confined()).toBe(false);
  });

  test("for one batch, however often that brings workers down", () => {
    const { offenders, bad, confined } = setUp();
    const crossing = new Crossing([jobOf(bad)]);
    for (let time = 0; time < 5; time++) offenders.stopped(crossing, 0);
    crossing.attempts = 6;
    offenders.ran(crossing, 0, 1, 1);
    expect(confined()).toBe(false);
  });

  test("for what happens to it in a warm-up", () => {
    const { offenders, bad, confined } = setUp();
    for (let time = 0; time < 5; time++) offenders.stopped(new Crossing([jobOf(bad)], "warm-up"), 0);
    expect(confined()).toBe(false);
  });

  test("where that is turned off", () => {
    const { stop, confined } = setUp({ laneOffences: 0 });
    stop(50);
    expect(confined()).toBe(false);
  });
});

describe("a confined module", () => {
  test("is let go when it has behaved for its time, and begins anew", () => {
    const { stop, confined, at, changes, offenders } = setUp();
    stop(3);
    at(999);
    expect(confined()).toBe(true);
    at(1_000);
    expect(confined()).toBe(false);
    expect(offenders.empty).toBe(true);
    expect(changes).toEqual(["bad confined", "bad released"]);
    stop(2);
    expect(confined()).toBe(false);
  });

  test("stays for as long again after each further offence", () => {
    const { stop, confined, at } = setUp();
    stop(3);
    at(900);
    stop();
    at(1_800);
    expect(confined()).toBe(true);
    at(1_900);
    expect(confined()).toBe(false);
  });

  test("stays twice as long each time that it comes back soon, up to a bound, and as short as at first after a long time", () => {
    const { stop, confined, at } = setUp();
    let nowMs = 0;
    const termMs = (): number => {
      stop(3);
      expect(confined()).toBe(true);
      const startMs = nowMs;
      while (confined()) {
        nowMs += 100;
        at(nowMs);
      }
      return nowMs - startMs;
    };
    expect([termMs(), termMs(), termMs(), termMs()]).toEqual([1_000, 2_000, 3_000, 3_000]);
    nowMs += 3_001;
    at(nowMs);
    expect(termMs()).toBe(1_000);
  });

  test("is forgotten when it is unloaded", () => {
    const { stop, offenders, confined, changes } = setUp();
    stop(3);
    offenders.forget("sha256:bad");
    expect(confined()).toBe(false);
    expect(offenders.empty).toBe(true);
    expect(changes).toEqual(["bad confined", "bad released"]);
  });
});

test("a bounded number of modules is watched, and a confined one is not forgotten for others", () => {
  const { offenders, stop, run, confined } = setUp();
  stop(3);
  for (let module = 0; module < 3_000; module++) run(pipelineOf(`m${module}`), 1);
  expect(confined()).toBe(true);
  expect(offenders.list()).toHaveLength(1);
});
