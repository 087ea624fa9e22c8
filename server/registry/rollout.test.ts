import { describe, expect, test } from "vitest";
import { ShadowReport } from "../outcome/shadow.ts";
import { ArmStats } from "../telemetry/arm-stats.ts";
import type { ModuleEntry } from "./module-catalog.ts";
import { judge, type Rollout, type RolloutMode, worseIn } from "./rollout.ts";

/** So many batches of 10 records and 1 ms, some of which failed, ended with an error, or took longer. */
function arm(batches: number, { failed = 0, errors = 0, ms = 1, slow = 0, slowMs = 100 } = {}): ArmStats {
  const stats = new ArmStats();
  for (let batch = 0; batch < batches; batch++)
    stats.ran(1, batch < slow ? slowMs : ms, 10, batch < failed ? 1 : 0);
  for (let error = 0; error < errors; error++) stats.failed();
  return stats;
}

describe("the times of an arm", () => {
  test("are right to 9 %", () => {
    const stats = arm(1_000, { slow: 20 });
    for (const [share, ms] of [
      [0.5, 1],
      [0.97, 1],
      [0.99, 100],
    ] as const) {
      expect(stats.timeMs(share)).toBeGreaterThanOrEqual(ms);
      expect(stats.timeMs(share)).toBeLessThanOrEqual(ms * 1.1);
    }
    expect(new ArmStats().timeMs(0.5)).toBe(0);
  });

  test("take the shortest and the longest", () => {
    const stats = new ArmStats();
    stats.ran(1, 0, 1, 0);
    expect(stats.timeMs(1)).toBeLessThan(0.0012);
    stats.ran(1, 1e12, 1, 0);
    expect(stats.timeMs(1)).toBeGreaterThan(4_000_000);
  });
});

describe("a version is worse", () => {
  const base = arm(1_000);
  test.each([
    ["in nothing, when it does the same", arm(1_000), []],
    ["in nothing, when one record in a thousand fails", arm(1_000, { failed: 10 }), []],
    [
      "when more records fail",
      arm(1_000, { failed: 11 }),
      [/^its share of failed records is 0\.0011, and 0 /],
    ],
    [
      "when more batches fail",
      arm(1_000, { errors: 3 }),
      [/^its share of failed batches is 0\.00299, and 0 /],
    ],
    ["when it takes longer", arm(1_000, { ms: 2 }), [/^its median time is 2/]],
    ["when it takes longer at times", arm(1_000, { slow: 20 }), [/^its 99th percentile of time is 10\d ms/]],
    ["in nothing, when few batches show that", arm(499, { slow: 20 }), []],
  ])("%s", (_, candidate, sentences) => {
    expect(worseIn(base, candidate, 1.5)).toEqual(sentences.map((text) => expect.stringMatching(text)));
  });

  test("as far as the factor says", () => {
    expect(worseIn(base, arm(1_000, { ms: 2 }), 2.5)).toEqual([]);
    const failing = arm(1_000, { failed: 500 });
    expect(worseIn(failing, arm(1_000, { failed: 740 }), 1.5)).toEqual([]);
    expect(worseIn(failing, arm(1_000, { failed: 790 }), 1.5)).toHaveLength(1);
  });
});

describe("a rollout", () => {
  const entry = { name: "a", version: "1" } as ModuleEntry;
  const rollout = (baseArm: ArmStats, candidateArm: ArmStats, mode: RolloutMode = "canary", after?: number) =>
    ({
      base: entry,
      candidate: entry,
      mode,
      share: 0.1,
      rule: after === undefined ? undefined : { afterBatches: after, maxFactor: 1.5 },
      startMs: 0,
      state: { t: "running" },
      baseArm,
      candidateArm,
      shadow: new ShadowReport(),
      pairs: new Map(),
    }) satisfies Rollout;

  test.each([
    ["goes on without a rule, whatever happens", rollout(arm(100), arm(100, { failed: 100 })), "go-on"],
    ["goes on until the version has run", rollout(arm(100), arm(49), "canary", 50), "go-on"],
    ["goes on until there is something to compare with", rollout(arm(49), arm(100), "canary", 50), "go-on"],
    ["ends well", rollout(arm(50), arm(50), "canary", 50), "promote"],
    ["ends ill", rollout(arm(50), arm(50, { failed: 1 }), "canary", 50), "roll-back"],
    ["counts batches that only failed", rollout(arm(50), arm(0, { errors: 50 }), "canary", 50), "roll-back"],
    ["bears two failures of a shadow", rollout(arm(9), arm(9, { errors: 2 }), "shadow"), "go-on"],
    ["ends with a shadow's third", rollout(arm(9), arm(9, { errors: 3 }), "shadow"), "roll-back"],
  ])("%s", (_, tried, verdict) => {
    expect(judge(tried).t).toBe(verdict);
  });
});
