import { afterEach, expect, test } from "vitest";
import { liveThreads } from "../kit/inventory.ts";
import { markedThrowing, markedWithTables } from "../kit/modules.ts";
import { numbered, open, request, shapeOf, valuesOf } from "../kit/records.ts";
import { holdingLimits, startTestServer, type TestServer } from "../kit/test-server.ts";

let kit: TestServer;

afterEach(async () => {
  await kit[Symbol.asyncDispose]();
});

/** Workers that died of their JavaScript heap, and such as crashed. */
async function deaths(): Promise<readonly [number, number]> {
  const stopped = (await kit.metrics()).pool?.stopped ?? {};
  return [Number(stopped["out_of_memory"] ?? 0), Number(stopped["crash"] ?? 0)];
}

const stages = 8;
const pipelines = ["a", "b", "c", "d"];

test("instances with large tables give way to each other before they fill the worker's heap", async () => {
  kit = await startTestServer({
    limits: { maxWorkers: 1, maxExtraWorkers: 0, maxInstanceBytesPerWorker: 4 * 2 ** 30 },
    modules: { tables: await markedWithTables(4) },
    pipelines: Object.fromEntries(
      pipelines.map((name) => [
        name,
        Array.from({ length: stages }, (_, n) => ({ name: `s${n}`, module: "tables" })),
      ]),
    ),
  });
  // 32 instances of 9.6 MB are more than the heap holds.
  for (const name of pipelines) expect(valuesOf(await kit.raw.transform(request(name, "x")))).toEqual(["x"]);
  expect(await deaths()).toEqual([0, 0]);
  expect((await kit.metrics()).pool?.instances).toBeLessThanOrEqual(13);
});

test("a worker that dies of its heap costs the record that fills it, and nothing of others", async () => {
  kit = await startTestServer({
    limits: { ...holdingLimits, maxTagParameters: 1_000 },
    modules: { heavy: await markedThrowing(1_000), program: "program" },
  });
  const before = liveThreads().length;
  const stream = kit.raw.stream();
  stream.write(open("program"));
  for (let sequence = 1; sequence <= 10; sequence++) stream.write(numbered(sequence, `m${sequence}`));
  const heavy = kit.raw.transform(request("heavy", "a", "^", "b"));
  for (let sequence = 11; sequence <= 20; sequence++) stream.write(numbered(sequence, `m${sequence}`));
  expect(shapeOf(await heavy, 3)).toEqual({
    values: ["a", "b"],
    fanout: [1, 0, 1],
    failures: ["1 worker_lost@heavy"],
  });
  stream.halfClose();
  const [, ...results] = await stream.rest();
  expect(
    results.flatMap((message) =>
      message.case === "result" && message.value.outcome.case === "result"
        ? valuesOf(message.value.outcome.value)
        : [],
    ),
  ).toEqual(Array.from({ length: 20 }, (_, index) => String(index + 1)));
  // Once before anybody is blamed, and once more.
  expect(await deaths()).toEqual([2, 0]);
  expect(liveThreads().length).toBeLessThanOrEqual(before);
});

test("a batch under which others' instances had filled the heap runs once more, and nothing in it is blamed", async () => {
  kit = await startTestServer({
    limits: {
      maxWorkers: 1,
      maxExtraWorkers: 0,
      maxInstanceBytesPerWorker: 4 * 2 ** 30,
      maxInstanceHeapBytesPerWorker: 4 * 2 ** 30,
      maxWorkerStops: 1,
    },
    modules: { tables: await markedWithTables(4) },
    pipelines: Object.fromEntries(
      pipelines.map((name) => [
        name,
        Array.from({ length: stages }, (_, n) => ({ name: `s${n}`, module: "tables" })),
      ]),
    ),
  });
  for (const name of pipelines)
    expect(shapeOf(await kit.raw.transform(request(name, "x")), 1)).toMatchObject({
      values: ["x"],
      failures: [],
    });
  expect((await deaths())[0]).toBeGreaterThanOrEqual(1);
  const { modules } = await kit.leat.modules.listModules({});
  expect(modules.filter(({ quarantine }) => quarantine !== undefined)).toEqual([]);
});
