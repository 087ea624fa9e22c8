import { InstancePolicy } from "@leat/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { request, valuesOf } from "../kit/records.ts";
import { startTestServer, type TestServer } from "../kit/test-server.ts";

let kit: TestServer;

beforeAll(async () => {
  kit = await startTestServer({
    // One worker, however long a call seems to take on a busy machine: the instances of all are counted together.
    limits: { maxInstancesPerWorker: 4, maxWorkers: 1, maxExtraWorkers: 0 },
    modules: { marked: "marked" },
    pipelines: {
      fresh: [{ module: "marked", instances: InstancePolicy.FRESH }],
      reused: [{ module: "marked", instances: InstancePolicy.REUSE }],
      both: [
        { module: "marked", instances: InstancePolicy.FRESH },
        { module: "marked", instances: InstancePolicy.REUSE },
      ],
      ...Object.fromEntries(Array.from({ length: 6 }, (_, index) => [`one-of-many-${index}`, ["marked"]])),
    },
  });
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

async function counts(pipeline: string, calls: number): Promise<string[]> {
  const values: string[] = [];
  for (let call = 0; call < calls; call++) {
    values.push(...valuesOf(await kit.raw.transform(request(pipeline, "+"))));
  }
  return values;
}

async function created(pipeline: string): Promise<number[]> {
  return (await kit.pipelineMetrics(pipeline)).stages.map(({ instancesCreated }) => Number(instancesCreated));
}

test("an instance lives on from batch to batch", async () => {
  expect(await counts("reused", 4)).toEqual(["1", "2", "3", "4"]);
  expect(await created("reused")).toEqual([1]);
});

test("where it is to be fresh, each batch gets its own", async () => {
  expect(await counts("fresh", 4)).toEqual(["1", "1", "1", "1"]);
  expect(await created("fresh")).toEqual([4]);
});

test("two stages of one module share no state", async () => {
  // The first stage takes the mark away.
  expect(await counts("both", 3)).toEqual(["1", "1", "1"]);
  expect(await created("both")).toEqual([3, 1]);
});

test("a worker keeps no more instances than its limit; the one unused for longest gives way", async () => {
  for (let round = 0; round < 2; round++) {
    for (let index = 0; index < 6; index++) expect(await counts(`one-of-many-${index}`, 1)).toEqual(["1"]);
  }
  expect((await kit.metrics()).pool?.instances).toBeLessThanOrEqual(4);
  expect(await counts("one-of-many-5", 1)).toEqual(["2"]);
});
