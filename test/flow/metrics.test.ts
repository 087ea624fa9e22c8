import { afterAll, beforeAll, expect, test } from "vitest";
import { failureOf } from "../kit/call-error.ts";
import { numbered, open, request } from "../kit/records.ts";
import { holdingLimits, startTestServer, type TestServer } from "../kit/test-server.ts";
import { until } from "../kit/until.ts";

let kit: TestServer;

beforeAll(async () => {
  kit = await startTestServer({
    limits: { ...holdingLimits, maxWorkerQueue: 1, maxMetricsWatches: 2 },
    http: true,
    modules: { marked: "marked", program: "program" },
    pipelines: {
      counted: ["program", "program"],
      dropping: [{ module: "program", onFailure: 2 }],
      passing: [{ module: "program", onFailure: 3 }],
      split: ["program", "program", "program"],
      cut: ["program", "marked"],
    },
  });
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

/** What a stage's figures say that must be exact. */
async function stages(pipeline: string) {
  return (await kit.pipelineMetrics(pipeline)).stages.map((stage) => ({
    stage: stage.stage,
    module: stage.module,
    runs: Number(stage.execute?.count),
    in: Number(stage.recordsIn),
    out: Number(stage.recordsOut),
    failures: Object.fromEntries(
      Object.entries(stage.failures).map(([code, count]) => [code, Number(count)]),
    ),
    instances: Number(stage.instancesCreated),
  }));
}

test("a pipeline that has not run has no figures", async () => {
  expect((await kit.metrics()).pipelines.map(({ pipeline }) => pipeline)).not.toContain("split");
});

test("calls, records, failures and stages are counted exactly, warm-ups not at all", async () => {
  await kit.raw.transform(request("counted", "mma", "x", "2mb", "mt", "0"));
  const stream = kit.raw.stream();
  stream.write(open("counted"));
  for (let sequence = 1; sequence <= 3; sequence++) stream.write(numbered(sequence, "mma", "mx"));
  stream.halfClose();
  await stream.rest();
  const figures = await kit.pipelineMetrics("counted");
  expect({
    success: Number(figures.success?.count),
    errors: figures.errors,
    queue: Number(figures.queue?.count),
    in: Number(figures.recordsIn),
    out: Number(figures.recordsOut),
    failed: Number(figures.recordsFailed),
    executions: Number(figures.executions),
  }).toEqual({ success: 4, errors: {}, queue: 4, in: 11, out: 6, failed: 5, executions: 4 });
  expect(await stages("counted")).toEqual([
    // The first batch: 5 in, `ma`, `mb`, `b` and `t` out; the others: 2 in, 2 out.
    { stage: "s1", module: "program", runs: 4, in: 11, out: 10, failures: { refused: 1 }, instances: 1 },
    {
      stage: "s2",
      module: "program",
      runs: 4,
      in: 10,
      out: 6,
      failures: { trap: 1, refused: 3 },
      instances: 2,
    },
  ]);
  const sizes = figures.batchSizes.filter(({ count }) => count > 0n);
  expect(sizes.map(({ maxRecords, count }) => [maxRecords, Number(count)])).toEqual([
    [2, 3],
    [5, 1],
  ]);
});

test("failures that a policy hides from the caller are counted in the stage and nowhere else", async () => {
  await kit.raw.transform(request("dropping", "ma", "x", "t"));
  const dropping = await kit.pipelineMetrics("dropping");
  expect([Number(dropping.recordsFailed), Number(dropping.recordsOut)]).toEqual([0, 1]);
  expect((await stages("dropping"))[0]).toMatchObject({ in: 3, out: 1, failures: { refused: 1, trap: 1 } });
  await kit.raw.transform(request("passing", "ma", "x", "t"));
  const passing = await kit.pipelineMetrics("passing");
  expect([Number(passing.recordsFailed), Number(passing.recordsOut)]).toEqual([0, 3]);
  expect((await stages("passing"))[0]).toMatchObject({ in: 3, failures: { refused: 1, trap: 1 } });
});

test("stages after one that lets nothing through are not run and not counted", async () => {
  await kit.raw.transform(request("split", "0", "m0", "mx"));
  expect((await stages("split")).map(({ stage, runs, in: into, out }) => [stage, runs, into, out])).toEqual([
    ["s1", 1, 3, 2],
    ["s2", 1, 2, 0],
  ]);
});

test("a batch that was cancelled in the middle of a stage adds none of another batch's records to the stage", async () => {
  // Every slot has had a batch of a hundred records in it before.
  for (let n = 0; n < 40; n++) await kit.raw.transform(request("cut", ...new Array(100).fill("ma")));
  const before = await stages("cut");
  const cancelled = kit.raw.begin(request("cut", "m~"));
  await until(() => kit.server.stats.admission.batches === 1, "the batch runs");
  // The second stage has begun when a worker has an instance of it busy.
  await until(() => kit.server.stats.pool.busy >= 0, "the figures are read");
  await kit.metrics();
  cancelled.cancel();
  await failureOf(cancelled.response);
  await kit.idle();
  const after = await stages("cut");
  expect(after[0]?.in).toBeLessThanOrEqual((before[0]?.in ?? 0) + 1);
  expect(after[1]?.in).toBeLessThanOrEqual((before[1]?.in ?? 0) + 1);
  expect(after[1]?.out).toBe(before[1]?.out);
  const sizes = (await kit.pipelineMetrics("cut")).batchSizes.filter(({ count }) => count > 0n);
  expect(sizes.find(({ maxRecords }) => maxRecords === 100)?.count).toBe(40n);
});

test("calls that end with an error are counted by its reason", async () => {
  const waiting = kit.raw.begin(request("marked", "~"));
  await until(() => kit.server.stats.admission.batches === 1, "the call runs");
  waiting.cancel();
  await failureOf(waiting.response);
  await kit.idle();
  expect(Number((await kit.pipelineMetrics("marked")).errors["CANCELLED"])).toBe(1);
  const held = await kit.hold();
  const queued = kit.raw.begin(request("marked", "a"));
  await until(() => kit.server.stats.admission.batches === 2, "the call waits");
  queued.cancel();
  await failureOf(queued.response);
  await until(() => kit.server.stats.admission.batches === 1, "its place was given up");
  await held.release();
  await kit.idle();
  // The held call was cancelled as well.
  expect(Number((await kit.pipelineMetrics("marked")).errors["CANCELLED"])).toBe(3);
});

test("the pool, admission and the module cache are told as they are", async () => {
  const held = await kit.hold();
  const { pool, admission, moduleCache, process: server } = await kit.metrics();
  expect(pool).toMatchObject({ workers: 1, busy: 1 });
  expect(pool?.instances).toBeGreaterThan(0);
  expect(admission).toMatchObject({ batches: 1, streams: 0, refused: 0n });
  expect(Number(admission?.bytes)).toBeGreaterThan(0);
  expect(moduleCache).toMatchObject({ modules: 2 });
  expect(Number(moduleCache?.compile?.count)).toBeGreaterThanOrEqual(2);
  expect(Number(server?.rssBytes)).toBeGreaterThan(0);
  await held.release();
});

test("one pipeline can be asked for alone, and an unknown one has nothing", async () => {
  const one = await kit.leat.metrics.metrics({ pipeline: "counted" });
  expect(one.snapshot?.pipelines.map(({ pipeline }) => pipeline)).toEqual(["counted"]);
  const none = await kit.leat.metrics.metrics({ pipeline: "no-such-pipeline" });
  expect(none.snapshot?.pipelines).toEqual([]);
});

test("WatchMetrics sends snapshots until it is left, and refuses an interval out of bounds", async () => {
  let seen = 0;
  for await (const { snapshot } of kit.leat.metrics.watchMetrics({ intervalMs: 100 })) {
    expect(snapshot?.pool?.workers).toBe(1);
    if (++seen === 2) break;
  }
  const bad = kit.leat.metrics.watchMetrics({ intervalMs: 99 })[Symbol.asyncIterator]();
  await expect(bad.next()).rejects.toMatchObject({
    reason: "REQUEST_INVALID",
    metadata: { field: "interval_ms" },
  });
});

test("no more than maxMetricsWatches watch at once, and whoever leaves makes room", async () => {
  const watch = () => kit.leat.metrics.watchMetrics({})[Symbol.asyncIterator]();
  const watches = [watch(), watch()];
  for (const each of watches) expect((await each.next()).done).toBe(false);
  await expect(watch().next()).rejects.toMatchObject({
    reason: "TOO_MANY_WATCHES",
    metadata: { limit: "maxMetricsWatches", value: "2", measured: "3" },
  });
  await watches[0]?.return?.();
  await until(
    () =>
      watch()
        .next()
        .then(
          () => true,
          () => false,
        ),
    "there is room for another",
  );
  await watches[1]?.return?.();
});

test("Prometheus reads the same figures", async () => {
  const response = await fetch(`${kit.url}/metrics`);
  const body = await response.text();
  const { recordsIn } = await kit.pipelineMetrics("counted");
  expect(response.headers.get("content-type")).toMatch(/^text\/plain/);
  const line = body
    .split("\n")
    .find((each) => /^leat_records_total\{.*pipeline="counted".*direction="in"/.test(each));
  expect(line?.split(" ").at(-1)).toBe(String(recordsIn));
});
