import { describe, expect, test } from "vitest";
import { clockOf } from "../../test/kit/clocks.ts";
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

describe("the Prometheus text", () => {
  test("parses and holds the counters", async () => {
    const metrics = createMetrics(statsOfOneBatch(), { serviceVersion: "1.2.3" });
    const samples = parsePrometheus(await metrics.prometheusText());
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
    await metrics.shutdown();
  });

  test("follows the figures from one request to the next", async () => {
    const stats = new Stats();
    const metrics = createMetrics(stats, { serviceVersion: "1.2.3" });
    const series = 'leat_records_total{pipeline="p",direction="in"}';
    expect(parsePrometheus(await metrics.prometheusText()).get(series)).toBeUndefined();
    stats.pipeline("p").recordsIn += 5;
    expect(parsePrometheus(await metrics.prometheusText()).get(series)).toBe(5);
    stats.pipeline("p").recordsIn += 5;
    expect(parsePrometheus(await metrics.prometheusText()).get(series)).toBe(10);
    await metrics.shutdown();
  });

  test("tells that a quarantine or a confinement is over", async () => {
    const stats = statsOfOneBatch();
    const metrics = createMetrics(stats, { serviceVersion: "1.2.3" });
    const read = async () => {
      const samples = parsePrometheus(await metrics.prometheusText());
      return ["quarantined", "confined"].map((what) =>
        [...samples]
          .filter(([series]) => series.startsWith(`leat_module_${what}{`))
          .map(([, value]) => value),
      );
    };
    expect(await read()).toEqual([[1], [1]]);
    stats.quarantined = () => [];
    stats.confined = () => [];
    expect(await read()).toEqual([[0], [0]]);
    await metrics.shutdown();
  });

  test("shows every metric that has a name", async () => {
    const metrics = createMetrics(statsOfOneBatch(), { serviceVersion: "1.2.3" });
    const text = await metrics.prometheusText();
    for (const name of Object.values(metricNames)) {
      expect(text).toMatch(new RegExp(`^# TYPE ${name.replaceAll(".", "_")}(_total)? `, "m"));
    }
    await metrics.shutdown();
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
