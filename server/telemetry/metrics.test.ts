import { describe, expect, test } from "vitest";
import { clockOf } from "../../test/kit/clocks.ts";
import { defaultLimits } from "../limits.ts";
import { createMetrics } from "./metrics.ts";
import { metricNames } from "./names.ts";
import { takeSnapshot } from "./snapshot.ts";
import { Stats } from "./stats.ts";

const identity = { stage: "upper", module: "upper", version: "1.0.0", digest: "sha256:ab" };

function statsOfOneBatch(): Stats {
  const stats = new Stats(1_700_000_000_250);
  stats.access.refused.set("CREDENTIALS_INVALID", 2);
  stats.config.changes.set("changed", 1);
  stats.config.lastGoodMs = 1_800_000_000_000;
  stats.access.certificateExpiresMs = 1_800_000_000_000;
  const pipeline = stats.pipeline('odd "name"\\');
  pipeline.success.add(2_000_000_000);
  pipeline.addError("QUEUE_FULL");
  pipeline.queue.add(500_000);
  pipeline.copyIn.add(1_000);
  pipeline.execute.add(1_500_000_000);
  pipeline.copyOut.add(2_000);
  pipeline.recordsIn += 100;
  pipeline.recordsOut += 97;
  pipeline.recordsFailed += 3;
  pipeline.executions += 1;
  pipeline.bytesIn += 28_000;
  pipeline.bytesOut += 27_000;
  pipeline.addBatchSize(100);
  const stage = pipeline.stage(0, identity);
  stage.execute.add(1_400_000_000);
  stage.recordsIn += 100;
  stage.recordsOut += 97;
  stage.recordsSkipped += 40;
  stage.instancesCreated += 1;
  stage.addFailure("trap", 3);
  stage.addCounter("rows", 2.5);
  const tried = { module: "upper", version: "2", mode: "shadow", share: 0.5, batches: 3, errors: 1 } as const;
  stats.rollouts = () => [{ ...tried, same: 1, different: 1, dropped: 4 }];
  stats.quarantined = () => [{ digest: identity.digest, module: "upper" }];
  stats.signatures.loads.set("MODULE_UNSIGNED", 2);
  stats.signatures.expiring = () => [{ name: "release", notAfterMs: 1_000 }];
  stats.confined = () => [{ ...identity, sinceMs: 0, untilMs: 1, why: "it is slow" }];
  stats.pool.workers = 2;
  stats.pool.busy = 1;
  stats.pool.spares = 1;
  stats.pool.stopped.set("timeout", 4);
  stats.admission.limitBytes = 268_435_456;
  stats.moduleCache.hits = 7;
  stats.moduleCache.compile.add(30_000_000);
  return stats;
}

/** Reads Prometheus's text format 0.0.4: every line is a comment or a sample, or this throws. */
function parsePrometheus(text: string): Map<string, number> {
  const samples = new Map<string, number>();
  for (const line of text.split("\n")) {
    if (line === "" || /^# (HELP|TYPE|UNIT) [a-z_:][a-z0-9_:]* .*$/i.test(line)) continue;
    const sample =
      /^([a-z_:][a-z0-9_:]*(?:\{(?:[a-z_]\w*="(?:[^"\\]|\\["\\n])*",?)*\})?) (\S+)$/i.exec(line) ?? undefined;
    if (sample === undefined) throw new Error(`no sample: ${line}`);
    const [, series = "", value = ""] = sample;
    if (samples.has(series)) throw new Error(`twice: ${series}`);
    samples.set(series, Number(value.replace("+Inf", "Infinity")));
  }
  return samples;
}

/** Metrics whose text is of the moment that it is asked for, unless it may be older. */
function metricsOf(stats: Stats, { maxMetricsAgeMs = 0, nowMs = (): number => 0 } = {}) {
  const limits = { ...defaultLimits, maxMetricsAgeMs };
  const metrics = createMetrics(stats, { serviceVersion: "1.2.3", limits, clock: clockOf(nowMs) });
  const text = async () => Buffer.concat(await metrics.prometheusText()).toString();
  return { metrics, text, samples: async () => parsePrometheus(await text()) };
}

/** The series of a metric, without its labels. */
function countOf(samples: ReadonlyMap<string, number>, metric: string): number {
  return [...samples.keys()].filter((series) => series.startsWith(`${metric}{`)).length;
}

describe("the Prometheus text", () => {
  test("parses and holds the counters", async () => {
    const samples = await metricsOf(statsOfOneBatch()).samples();
    const pipeline = 'pipeline="odd \\"name\\"\\\\"';
    const stage = `${pipeline},stage="upper",module="upper",version="1.0.0",digest="sha256:ab"`;
    const expected = {
      [`leat_batches_total{${pipeline},outcome="ok"}`]: 1,
      [`leat_batches_total{${pipeline},outcome="QUEUE_FULL"}`]: 1,
      [`leat_batch_seconds_total{${pipeline}}`]: 2,
      [`leat_phase_seconds_total{${pipeline},phase="execute"}`]: 1.5,
      [`leat_phase_count_total{${pipeline},phase="copy_in"}`]: 1,
      [`leat_records_total{${pipeline},direction="failed"}`]: 3,
      [`leat_bytes_total{${pipeline},direction="in"}`]: 28_000,
      [`leat_batch_size_bucket{${pipeline},le="50"}`]: 0,
      [`leat_batch_size_bucket{${pipeline},le="100"}`]: 1,
      [`leat_batch_size_bucket{${pipeline},le="+Inf"}`]: 1,
      [`leat_stage_records_total{${stage},direction="out"}`]: 97,
      [`leat_stage_records_total{${stage},direction="skipped"}`]: 40,
      [`leat_stage_failures_total{${stage},code="trap"}`]: 3,
      [`leat_stage_counter{${stage},counter="rows"}`]: 2.5,
      'leat_pool_workers{state="busy"}': 1,
      'leat_pool_workers{state="idle"}': 1,
      'leat_pool_stopped_total{reason="timeout"}': 4,
      leat_admission_bytes_limit: 268_435_456,
      'leat_module_cache_uses_total{outcome="hit"}': 7,
      leat_compilations_total: 1,
      leat_start_time_seconds: 1_700_000_000.25,
    };
    for (const [series, value] of Object.entries(expected)) {
      expect(samples.get(series), series).toBeCloseTo(value, 9);
    }
  });

  test("follows the figures from one request to the next", async () => {
    const stats = new Stats();
    const { samples } = metricsOf(stats);
    const series = 'leat_records_total{pipeline="p",direction="in"}';
    expect((await samples()).get(series)).toBeUndefined();
    stats.pipeline("p").recordsIn += 5;
    expect((await samples()).get(series)).toBe(5);
    stats.pipeline("p").recordsIn += 5;
    expect((await samples()).get(series)).toBe(10);
  });

  test("has the figures of every pipeline and stage that there may be, and none twice", async () => {
    const stats = new Stats();
    const { maxPipelines } = defaultLimits;
    for (let n = 0; n < maxPipelines; n++) {
      const pipeline = stats.pipeline(`p${n}`);
      for (let index = 0; index < 3; index++) pipeline.stage(index, { ...identity, stage: `s${index}` });
      // The pipeline was changed: its first stage is now what was its last.
      pipeline.stage(0, { ...identity, stage: "s2" });
    }
    const samples = await metricsOf(stats).samples();
    expect(countOf(samples, "leat_batch_size_bucket")).toBe(maxPipelines * 14);
    expect(countOf(samples, "leat_phase_count_total")).toBe(maxPipelines * 4);
    expect(countOf(samples, "leat_stage_instances_discarded_total")).toBe(maxPipelines * 3 * 4);
    expect([...samples.keys()].join()).not.toContain("overflow");
  });

  test("has nothing of what has ended", async () => {
    const stats = statsOfOneBatch();
    const { text } = metricsOf(stats);
    const ending = /^leat_(rollout_\w+|signing_key_expires_seconds|module_quarantined|module_confined)\{/gm;
    expect(new Set((await text()).match(ending)).size).toBe(6);
    stats.rollouts = () => [];
    stats.signatures.expiring = () => [];
    stats.quarantined = () => [];
    stats.confined = () => [];
    expect((await text()).match(ending)).toBeNull();
  });

  test("counts a pipeline that is folded into other there alone", async () => {
    const stats = new Stats(0, { ...defaultLimits, maxPipelines: 1, maxInlinePipelines: 1 });
    const { samples } = metricsOf(stats);
    const records = async (): Promise<Record<string, number>> =>
      Object.fromEntries(
        [...(await samples())].flatMap(([series, value]) => {
          const [, name] = /^leat_records_total\{pipeline="(\w+)",direction="in"\}$/.exec(series) ?? [];
          return name === undefined ? [] : [[name, value]];
        }),
      );
    for (const name of ["a", "b"]) stats.pipeline(name).recordsIn += 1;
    expect(await records()).toEqual({ a: 1, b: 1 });
    stats.pipeline("c").recordsIn += 1;
    expect(await records()).toEqual({ b: 1, c: 1, other: 1 });
  });

  test("forgets a module version that is unloaded", async () => {
    const stats = new Stats();
    const other = { ...identity, stage: "other", digest: "sha256:cd" };
    stats.pipeline("stored").stage(0, identity);
    stats.pipeline("stored").stage(0, other);
    stats.pipeline("inline:upper").recordsIn += 5;
    stats.pipeline("inline:upper").stage(0, identity);
    const { samples, text } = metricsOf(stats);
    expect(await text()).toContain(identity.digest);
    stats.forget(identity.digest);
    expect(await text()).not.toContain(identity.digest);
    expect(await text()).not.toContain("inline:upper");
    expect((await samples()).get('leat_records_total{pipeline="other",direction="in"}')).toBe(5);
    expect(countOf(await samples(), "leat_stage_executions_total")).toBe(1);
  });

  test("is written in pieces, with turns of the event loop between", async () => {
    const stats = new Stats();
    for (let n = 0; n < 200; n++) stats.pipeline(`p${n}`).stage(0, identity);
    const { metrics } = metricsOf(stats);
    let written = false;
    let turns = 0;
    const turn = (): void => {
      turns++;
      if (!written) setImmediate(turn);
    };
    setImmediate(turn);
    const pieces = await metrics.prometheusText();
    written = true;
    expect(turns).toBeGreaterThan(10);
    expect(Math.max(...pieces.map(({ length }) => length))).toBeLessThan(128 * 1024);
  });

  test("is one for all who ask while it is written, or not much later", async () => {
    const stats = new Stats();
    let nowMs = 0;
    const { metrics } = metricsOf(stats, { maxMetricsAgeMs: 1_000, nowMs: () => nowMs });
    const first = metrics.prometheusText();
    nowMs = 5_000;
    expect(metrics.prometheusText()).toBe(first);
    await first;
    nowMs = 999;
    expect(metrics.prometheusText()).toBe(first);
    nowMs = 1_000;
    expect(metrics.prometheusText()).not.toBe(first);
    metrics.close();
  });

  test("that could not be written is not kept", async () => {
    const stats = new Stats();
    const { metrics } = metricsOf(stats, { maxMetricsAgeMs: 1_000 });
    stats.quarantined = () => {
      throw new Error("unreadable");
    };
    await expect(metrics.prometheusText()).rejects.toThrow("unreadable");
    stats.quarantined = () => [];
    expect((await metrics.prometheusText()).length).toBeGreaterThan(0);
    metrics.close();
  });

  test("shows every metric that has a name", async () => {
    const text = await metricsOf(statsOfOneBatch()).text();
    for (const name of Object.values(metricNames)) {
      expect(text).toMatch(new RegExp(`^# TYPE ${name.replaceAll(".", "_")}(_total)? `, "m"));
    }
  });
});

describe("a snapshot", () => {
  test("equals the figures", () => {
    const snapshot = takeSnapshot(statsOfOneBatch(), { clock: clockOf(() => 1_700_000_001_000.5) });
    expect(snapshot).toMatchObject({
      time: { seconds: 1_700_000_001n, nanos: 500_000 },
      startTime: { seconds: 1_700_000_000n, nanos: 250_000_000 },
      pool: { workers: 2, busy: 1, spares: 1, instances: 0, stopped: { timeout: 4n } },
      admission: { batches: 0, bytes: 0n, limitBytes: 268_435_456n, refused: 0n, streams: 0 },
      moduleCache: { hits: 7n, misses: 0n, compile: { count: 1n, totalNs: 30_000_000n } },
    });
    expect(snapshot.pipelines).toHaveLength(1);
    expect(snapshot.pipelines[0]).toMatchObject({
      success: { count: 1n, totalNs: 2_000_000_000n },
      errors: { QUEUE_FULL: 1n },
      queue: { count: 1n, totalNs: 500_000n },
      copyIn: { count: 1n, totalNs: 1_000n },
      execute: { count: 1n, totalNs: 1_500_000_000n },
      copyOut: { count: 1n, totalNs: 2_000n },
      recordsIn: 100n,
      recordsOut: 97n,
      recordsFailed: 3n,
      executions: 1n,
      bytesIn: 28_000n,
      bytesOut: 27_000n,
      stages: [
        { ...identity, recordsIn: 100n, recordsOut: 97n, failures: { trap: 3n }, counters: { rows: 2.5 } },
      ],
    });
    expect(snapshot.pipelines[0]?.batchSizes.find(({ count }) => count > 0n)?.maxRecords).toBe(100);
    expect(snapshot.pipelines[0]?.batchSizes.at(-1)?.maxRecords).toBe(0);
    expect(snapshot.process?.rssBytes).toBeGreaterThan(0n);
  });

  test("orders pipelines by name and can be of one alone", () => {
    const stats = new Stats();
    for (const name of ["c", "a", "b"]) stats.pipeline(name);
    const names = (only?: string) =>
      takeSnapshot(stats, only === undefined ? {} : { pipeline: only }).pipelines.map((p) => p.pipeline);
    expect(names()).toEqual(["a", "b", "c"]);
    expect(names("")).toEqual(["a", "b", "c"]);
    expect(names("b")).toEqual(["b"]);
    expect(names("nope")).toEqual([]);
  });
});
