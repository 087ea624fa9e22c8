import type { TransformResult } from "@leat/proto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { localPipeline } from "../kit/local-pipeline.ts";
import { failuresOf, fanoutOf } from "../kit/records.ts";
import { startTestServer, type TestServer } from "../kit/test-server.ts";
import { type Case, cases, chainName, chains, encodedBatch } from "./cases.ts";
import { type Door, doorsOf } from "./doors.ts";

let kit: TestServer;
let doors: Readonly<Record<string, Door>>;

beforeAll(async () => {
  kit = await startTestServer({
    http: true,
    limits: { maxWorkers: 2 },
    modules: { program: "program", marked: "marked", init: "init" },
  });
  for (const [name, stages] of chains)
    await kit.put(
      name,
      stages.map((module, index) => ({ name: `s${index + 1}`, module })),
    );
  doors = doorsOf(kit);
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

function expectCase({ batch, values, fanout, failures }: Case, result: TransformResult): void {
  expect(
    (result.batch?.records ?? []).map(({ value }) =>
      value === undefined ? null : Buffer.from(value).toString(),
    ),
  ).toEqual(values);
  expect(fanoutOf(result, batch.records.length)).toEqual(fanout);
  expect(failuresOf(result)).toEqual(failures);
}

const doorNames = [
  "grpc-js, unary",
  "grpc-js, stream",
  "the SDK, unary",
  "the SDK with gzip",
  "the SDK, stream",
  "a browser's fetch with JSON",
  "Connect over HTTP/1.1",
  "Connect over HTTP/2",
  "Connect over HTTP/2, stream",
  "Connect over HTTP/2 in JSON, stream",
  "gRPC-Web over HTTP/1.1",
  "gRPC at the HTTP port",
  "gRPC at the HTTP port, stream",
  "Connect's gRPC client",
  "Connect's gRPC client, stream",
];

test("every door is tried", () => {
  expect(Object.keys(doors)).toEqual(doorNames);
});

describe.each(doorNames)("through %s", (door) => {
  test.each(cases)("$name", async (each) => {
    const run = doors[door];
    if (run === undefined) throw new Error(`no door ${door}`);
    expectCase(each, await run(chainName(each.stages), each.batch));
  });
});

describe("in a thread of one's own, without a server", () => {
  test.each(cases)("$name", async (each) => {
    const pipeline = await localPipeline(each.stages.map((source) => ({ source })));
    const { outcome, results } = pipeline.run(each.batch);
    expect(outcome).toBe("result");
    for (const result of results) expectCase(each, result);
  });

  test("all cases of one chain at once, each call with its own result", async () => {
    const together = cases.filter(({ stages }) => chainName(stages) === "program");
    const pipeline = await localPipeline([{ source: "program" }]);
    const { outcome, results } = pipeline.runTogether(together.map(encodedBatch));
    expect(outcome).toBe("result");
    expect(results).toHaveLength(together.length);
    together.forEach((each, index) => {
      const result = results[index];
      if (result === undefined) throw new Error(`no result ${index}`);
      expectCase(each, result);
    });
  });
});
