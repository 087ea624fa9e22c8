import { InstancePolicy } from "@leat/sdk";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { countdown, request, valuesOf } from "../kit/records.ts";
import { startTestServer, type TestServer } from "../kit/test-server.ts";
import { until } from "../kit/until.ts";
import { misbehavingModule } from "../modules/misbehaving.ts";

const MiB = 2 ** 20;
let kit: TestServer;

beforeAll(async () => {
  kit = await startTestServer({
    limits: { maxRecordExecutionMs: 100, maxBatchExecutionMs: 200 },
    http: true,
    modules: {
      marked: "marked",
      uppercase: "uppercase",
      "log-flood": await misbehavingModule("log-flood"),
      "counter-flood": await misbehavingModule("counter-flood"),
      "endless-logging": await misbehavingModule("endless-logging"),
    },
    pipelines: {
      two: ["marked", "uppercase"],
      poisoned: ["marked"],
      looping: ["marked"],
      fresh: [{ module: "marked", instances: InstancePolicy.FRESH }],
      growing: ["marked"],
    },
  });
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

async function stagesOf(pipeline: string) {
  return (await kit.pipelineMetrics(pipeline)).stages.map((stage) => ({
    cpuNs: Number(stage.cpuNs),
    memory: Number(stage.memoryHighWaterBytes),
    created: Number(stage.instancesCreated),
    discarded: Object.fromEntries(
      Object.entries(stage.instancesDiscarded).map(([reason, count]) => [reason, Number(count)]),
    ),
    lines: Number(stage.logLines),
    linesDropped: Number(stage.logLinesDropped),
    updates: Number(stage.counterUpdates),
    unnamed: Number(stage.counterUpdatesUnnamed),
    counters: stage.counters,
  }));
}

async function stageOf(pipeline: string) {
  const [stage] = await stagesOf(pipeline);
  if (stage === undefined) throw new Error(`${pipeline} has no stage`);
  return stage;
}

const none = { fault: 0, memory: 0, fresh: 0, evicted: 0 };

describe("what a module uses is counted for its stage:", () => {
  test("processor time, where it was used", async () => {
    await kit.raw.transform(request("two", countdown(20_000_000)));
    const [busy, idle] = await stagesOf("two");
    expect(busy?.cpuNs).toBeGreaterThan(0);
    expect(busy?.cpuNs).toBeGreaterThan(idle?.cpuNs ?? Number.NaN);
  });

  test("processor time of runs that were stopped", async () => {
    const { failures } = await kit.raw.transform(request("looping", "!"));
    expect(failures[0]?.code).toBe("timeout");
    // Stopped at its limit of 100 ms only if it had a processor for half of that.
    expect((await stageOf("looping")).cpuNs).toBeGreaterThan(0);
  });

  test("the largest memory that it ever had, also when a fault ended it there", async () => {
    await kit.raw.transform(request("growing", "a"));
    expect(await stageOf("growing")).toMatchObject({ memory: 8 * MiB, discarded: none });
    const { failures } = await kit.raw.transform(request("growing", "$"));
    expect(failures[0]?.code).toBe("out_of_memory");
    expect(await stageOf("growing")).toMatchObject({ memory: 64 * MiB, discarded: { ...none, fault: 1 } });
    await kit.raw.transform(request("growing", "a"));
    expect(await stageOf("growing")).toMatchObject({ memory: 64 * MiB, created: 2 });
  });

  test("instances that were made and dropped, with the reason", async () => {
    await kit.raw.transform(request("poisoned", "a", "%", "b", "%"));
    expect(await stageOf("poisoned")).toMatchObject({ created: 3, discarded: { ...none, fault: 2 } });
    for (let time = 0; time < 4; time++) await kit.raw.transform(request("fresh", "a"));
    // The warm-up was in another worker.
    expect(await stageOf("fresh")).toMatchObject({ created: 4, discarded: { ...none, fresh: 3 } });
  });
});

describe("a module that", () => {
  test("logs without measure has a bounded number of lines, and each line more is counted", async () => {
    for (let time = 0; time < 3; time++) await kit.raw.transform(request("log-flood", "a"));
    const { lines, linesDropped } = await stageOf("log-flood");
    expect(lines + linesDropped).toBe(3 * 8_976);
    expect(lines).toBeGreaterThan(0);
    expect(linesDropped).toBeGreaterThan(0);
  });

  test("logs for ever is counted although it never returned, and others are served beside it", async () => {
    const endless = kit.raw.transform(request("endless-logging", "a"));
    for (let time = 0; time < 20; time++) {
      expect(valuesOf(await kit.raw.transform(request("uppercase", "well")))).toEqual(["WELL"]);
    }
    expect((await endless).failures[0]?.code).toBe("timeout");
    const { lines, linesDropped } = await stageOf("endless-logging");
    expect(lines).toBeGreaterThan(0);
    expect(linesDropped).toBeGreaterThan(0);
  });

  test("counts under any number of names has a bounded number of counters, whose sum is right", async () => {
    for (let time = 0; time < 3; time++) await kit.raw.transform(request("counter-flood", "a"));
    const sumOf = (counters: Readonly<Record<string, number>>): number =>
      Object.values(counters).reduce((sum, count) => sum + count, 0);
    // Counters come after the answer, when the worker runs out of work.
    await until(
      async () => sumOf((await stageOf("counter-flood")).counters) >= 3_000,
      "the worker has told its counters",
    );
    const { updates, unnamed, counters } = await stageOf("counter-flood");
    expect(updates).toBe(3_000);
    expect(unnamed).toBeGreaterThan(0);
    expect(Object.keys(counters)).toHaveLength(65);
    expect(sumOf(counters)).toBe(3_000);
  });
});

test("the figures are in Prometheus's text", async () => {
  await kit.raw.transform(request("poisoned", "%"));
  await kit.raw.transform(request("log-flood", "a"));
  const text = await (await fetch(`${kit.url}/metrics`)).text();
  const sample = (name: string, pipeline: string, label = "") =>
    Number(new RegExp(`^${name}\\{pipeline="${pipeline}",[^}]*${label}[^}]*\\} (.*)$`, "m").exec(text)?.[1]);
  expect(sample("leat_stage_cpu_seconds_total", "poisoned")).toBeGreaterThan(0);
  expect(sample("leat_stage_memory_high_water_bytes", "poisoned")).toBe(8 * MiB);
  expect(sample("leat_stage_instances_discarded_total", "poisoned", 'reason="fault"')).toBeGreaterThan(0);
  expect(sample("leat_stage_log_lines_total", "log-flood", 'outcome="dropped"')).toBeGreaterThan(0);
});
