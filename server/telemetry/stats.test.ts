import { describe, expect, test } from "vitest";
import { defaultLimits } from "../limits.ts";
import { type StageIdentity, StageStats } from "./stage-stats.ts";
import { batchSizeBounds, PipelineStats, Stats } from "./stats.ts";

const upper1: StageIdentity = { stage: "upper", module: "upper", version: "1", digest: "sha256:aa" };
const upper2: StageIdentity = { ...upper1, version: "2", digest: "sha256:bb" };

describe("batch sizes", () => {
  test("a crossing counts in the bucket whose inclusive bound holds it", () => {
    const stats = new PipelineStats("p");
    for (const records of [0, 1, 2, 3, 5, 100, 101, 10_000, 10_001]) stats.addBatchSize(records);
    const byBound = Object.fromEntries(
      Array.from(stats.batchSizes, (count, bucket) => [batchSizeBounds[bucket] ?? "more", count]),
    );
    expect(byBound).toMatchObject({ 1: 2, 2: 1, 5: 2, 10: 0, 100: 1, 200: 1, 10000: 1, more: 1 });
  });
});

describe("a stage", () => {
  test("keeps its figures while its module version stays", () => {
    const stats = new PipelineStats("p");
    stats.stage(0, upper1).recordsIn += 3;
    expect(stats.stage(0, { ...upper1 }).recordsIn).toBe(3);
    expect(stats.stages).toHaveLength(1);
  });

  test("starts anew with another module version, and goes on where it was after a rollback", () => {
    const stats = new PipelineStats("p");
    stats.stage(0, upper1).recordsIn += 3;
    stats.stage(0, upper2).recordsIn += 5;
    expect(stats.stages.map(({ version, recordsIn }) => [version, recordsIn])).toEqual([["2", 5]]);
    expect(stats.formerStages.map(({ version, recordsIn }) => [version, recordsIn])).toEqual([["1", 3]]);
    expect(stats.stage(0, upper1).recordsIn).toBe(3);
    expect(stats.formerStages.map(({ version }) => version)).toEqual(["2"]);
  });

  test("keeps a bounded number of former versions", () => {
    const stats = new PipelineStats("p");
    for (let version = 0; version < 100; version += 1) {
      stats.stage(0, { ...upper1, version: String(version), digest: `sha256:${version}` });
    }
    expect(stats.formerStages).toHaveLength(defaultLimits.maxFormerStages);
    expect(stats.formerStages.at(-1)?.version).toBe("98");
  });
});

describe("names that guests make up", () => {
  test("are counted apart up to the limit and together beyond it", () => {
    const stats = new StageStats(upper1, {
      ...defaultLimits,
      maxFailureCodesPerStage: 2,
      maxCountersPerStage: 1,
    });
    for (const code of ["a", "b", "c", "d", "a"]) stats.addFailure(code);
    expect(Object.fromEntries(stats.failures)).toEqual({ a: 2, b: 1, other: 2 });
    stats.addCounter("x", 1.5);
    stats.addCounter("y", 2);
    stats.addCounter("x", Number.NaN);
    expect(Object.fromEntries(stats.counters)).toEqual({ x: 1.5, other: 2 });
  });

  test("stay finite, however much is added or taken away", () => {
    const stats = new StageStats(upper1);
    const most = Number.MAX_VALUE;
    for (const delta of [-1.7e308, -1.7e308]) stats.addCounter("fallen", delta);
    for (const delta of [1.7e308, 1.7e308]) stats.addCounter("risen", delta);
    expect(Object.fromEntries(stats.counters)).toEqual({ fallen: -most, risen: most });
    stats.addCounter("fallen", 1.7e308);
    expect(Number.isFinite(stats.counters.get("fallen"))).toBe(true);
  });
});

describe("pipelines", () => {
  test("beyond the limit, the one unused for longest is folded into other and no total is lost", () => {
    const stats = new Stats(0, { ...defaultLimits, maxPipelines: 1, maxInlinePipelines: 1 });
    for (const name of ["a", "b", "a", "c", "d"]) {
      const pipeline = stats.pipeline(name);
      pipeline.recordsIn += 1;
      pipeline.success.add(10);
      pipeline.addError("QUEUE_FULL");
      pipeline.addBatchSize(1);
    }
    const all = [...stats.pipelines()];
    expect(all.map(({ pipeline }) => pipeline).toSorted()).toEqual(["c", "d", "other"]);
    expect(all.reduce((sum, { recordsIn }) => sum + recordsIn, 0)).toBe(5);
    expect(all.reduce((sum, { success }) => sum + success.totalNs, 0)).toBe(50);
    expect(stats.pipeline("other").errors.get("QUEUE_FULL")).toBe(3);
    expect(stats.pipeline("other").batchSizes[0]).toBe(3);
  });
});
