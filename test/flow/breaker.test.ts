import type { ServiceError } from "@grpc/grpc-js";
import { RolloutMode } from "@leat/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { systemClock } from "../../server/clock.ts";
import { callFailure } from "../kit/call-error.ts";
import { moduleBytes } from "../kit/modules.ts";
import { request, shapeOf } from "../kit/records.ts";
import { startTestServer, type TestServer } from "../kit/test-server.ts";
import { until } from "../kit/until.ts";

let kit: TestServer;

/** Opens after two calls with a fault among the last four, and tries again after a minute. */
const nervous = { faults: 2, window: 4, openMs: 60_000, probes: 2 };

/** The machine's clock, which tests put forward. */
const clock = {
  aheadMs: 0,
  nowMs(): number {
    return systemClock.nowMs() + this.aheadMs;
  },
  wallMs: () => systemClock.wallMs(),
};

beforeAll(async () => {
  kit = await startTestServer({
    spans: true,
    http: true,
    limits: { maxMetricsAgeMs: 0 },
    clock,
    modules: { strict: "program", passing: "marked" },
    pipelines: {
      strict: [{ module: "strict", breaker: nervous }],
      twice: [
        { module: "strict", breaker: { ...nervous, probes: 1 } },
        { module: "strict", breaker: { ...nervous, probes: 1 } },
      ],
      passing: [{ module: "passing", breaker: nervous, onFailure: 3 }],
    },
  });
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

async function breakerOf(pipeline: string): Promise<string> {
  return (await kit.pipelineMetrics(pipeline)).stages[0]?.breaker ?? "";
}

test("a breaker opens at its mark, answers at once, tries again after its time, and closes", async () => {
  const call = (value: string) => kit.raw.transform(request("strict", value));
  await call("t");
  expect(await breakerOf("strict")).toBe("closed");
  await call("t");
  expect(await breakerOf("strict")).toBe("open");
  const refusal = await call("a1").catch((error: ServiceError) => callFailure(error));
  expect(refusal).toMatchObject({ status: "UNAVAILABLE", reason: "BREAKER_OPEN" });
  expect(refusal).toHaveProperty(
    "retryAfterMs",
    expect.toSatisfy((ms: number) => ms > 0 && ms <= nervous.openMs),
  );
  clock.aheadMs += nervous.openMs;
  await call("a1");
  expect(await breakerOf("strict")).toBe("half_open");
  await call("a1");
  expect(await breakerOf("strict")).toBe("closed");
  const transitions = kit.spans.spans
    .filter(({ name }) => name === "leat.breaker")
    .map(({ attributes }) => `${attributes["leat.breaker.from"]}>${attributes["leat.breaker.to"]}`);
  expect(transitions).toEqual(["closed>open", "open>half_open", "half_open>closed"]);
  const [stage] = (await kit.pipelineMetrics("strict")).stages;
  expect(stage?.breakerOpened).toBe(1n);
});

test("records follow the stage's policy while its breaker is open", async () => {
  for (let fault = 0; fault < 2; fault++) await kit.raw.transform(request("passing", "%"));
  expect(await breakerOf("passing")).toBe("open");
  const result = await kit.raw.transform(request("passing", "a", "b"));
  expect(shapeOf(result, 2)).toEqual({ values: ["a", "b"], fanout: [1, 1], failures: [] });
  const [stage] = (await kit.pipelineMetrics("passing")).stages;
  expect(stage?.failures["breaker_open"]).toBe(2n);
});

test("a module that stands twice in a pipeline recovers as well", async () => {
  const call = (value: string) => kit.raw.transform(request("twice", value));
  for (let fault = 0; fault < 4 && (await breakerOf("twice").catch(() => "")) !== "open"; fault++) {
    await call("t").catch(() => undefined);
  }
  expect(await breakerOf("twice")).toBe("open");
  clock.aheadMs += nervous.openMs;
  await call("ab");
  await call("ab");
  expect(await breakerOf("twice")).toBe("closed");
});

test("a shadow neither tries a half-open breaker nor tells it of faults", async () => {
  await kit.load("before", "marked", "1");
  const wasm = Buffer.concat([await moduleBytes("marked"), Buffer.from([0, 2, 1, 122])]);
  await kit.leat.modules.loadModule({ name: "before", version: "2", wasm, noActivate: true });
  await kit.load("after", Buffer.concat([await moduleBytes("program"), Buffer.from([0, 2, 1, 122])]));
  await kit.put("shadowed", [
    { module: "before", breaker: { disabled: true } },
    { module: "after", breaker: nervous },
  ]);
  const call = (value: string) => kit.raw.transform(request("shadowed", value));
  const stateOf = async () => (await kit.pipelineMetrics("shadowed")).stages[1]?.breaker;
  await kit.leat.modules.startRollout({ reference: "before@2", mode: RolloutMode.SHADOW, share: 1 });
  const { shadow } = kit.server.registry.rollouts.get("before");
  await call("t");
  await until(() => shadow.compared === 1, "the shadow has run");
  expect(await stateOf()).toBe("closed");
  await call("t");
  expect(await stateOf()).toBe("open");
  await until(() => shadow.compared === 2, "the shadow has run");
  clock.aheadMs += nervous.openMs;
  await call("a");
  await until(() => shadow.compared === 3, "the shadow has run");
  expect(await stateOf()).toBe("half_open");
  await call("a");
  expect(await stateOf()).toBe("closed");
  await kit.leat.modules.abortRollout({ name: "before" });
});

/** What Prometheus reads of a pipeline's breakers, by version. */
async function breakerLines(pipeline: string): Promise<string[]> {
  const text = await (await fetch(`${kit.url}/metrics`)).text();
  const lines = text.matchAll(/^leat_stage_breaker(\w*)\{(.*)\} (\d+)$/gm);
  return [...lines]
    .filter(([, , labels]) => labels?.includes(`pipeline="${pipeline}"`))
    .map(([, figure, labels = "", value]) => {
      const [, version] = /version="(.*?)"/.exec(labels) ?? [];
      const [, to] = /to="(.*?)"/.exec(labels) ?? [];
      return `${version}: ${figure || "_level"}${to === undefined ? "" : ` to ${to}`} ${value}`;
    })
    .sort();
}

test("the breaker of a version that a mended one has replaced is closed, and its openings stay counted", async () => {
  const broken = Buffer.concat([await moduleBytes("program"), Buffer.from([0, 3, 1, 122, 3])]);
  await kit.load("mended", broken, "1");
  await kit.put("mended", [{ module: "mended", breaker: nervous }]);
  for (let fault = 0; fault < 2; fault++) await kit.raw.transform(request("mended", "t"));
  const opened = (await breakerLines("mended")).filter((line) => line.includes("level"));
  expect(opened).toEqual(["1: _level 2"]);
  const wasm = Buffer.concat([await moduleBytes("marked"), Buffer.from([0, 3, 1, 122, 1])]);
  await kit.load("mended", wasm, "2");
  await kit.raw.transform(request("mended", "a"));
  expect(await breakerLines("mended")).toEqual([
    "1: _level 0",
    "1: _opened_total 1",
    "1: _transitions_total to closed 1",
    "1: _transitions_total to half_open 0",
    "1: _transitions_total to open 1",
    "2: _level 0",
    "2: _opened_total 0",
    "2: _transitions_total to closed 0",
    "2: _transitions_total to half_open 0",
    "2: _transitions_total to open 0",
  ]);
});

test("a policy ends with its pipeline or its stage's name", async () => {
  const wasm = Buffer.concat([await moduleBytes("program"), Buffer.from([0, 3, 1, 122, 2])]);
  await kit.load("outliving", wasm);
  const lenient = { module: "outliving", breaker: { ...nervous, faults: 4 } };
  const strict = { module: "outliving", breaker: { ...nervous, faults: 1 } };
  await kit.put("deleted", [strict]);
  await kit.put("outliving", [{ ...strict, name: "before" }]);
  for (const pipeline of ["deleted", "outliving"]) await kit.raw.transform(request(pipeline, "ab"));
  await kit.put("outliving", [{ ...lenient, name: "after" }]);
  await kit.leat.pipelines.deletePipeline({ name: "deleted" });
  await kit.raw.transform(request("outliving", "t"));
  expect(await breakerOf("outliving")).toBe("closed");
});
