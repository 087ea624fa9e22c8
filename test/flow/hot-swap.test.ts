import { afterAll, beforeAll, expect, test } from "vitest";
import { numbered, open, request, valuesOf } from "../kit/records.ts";
import { holdingLimits, startTestServer, type TestServer } from "../kit/test-server.ts";
import { until } from "../kit/until.ts";

let kit: TestServer;

beforeAll(async () => {
  kit = await startTestServer({
    limits: { ...holdingLimits, maxWorkers: 2 },
    modules: { marked: "marked", program: "program" },
    pipelines: { swapped: ["program"] },
  });
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

const records = 20;

test("while pipelines are swapped under a stream, each batch runs wholly in one version and none is lost", async () => {
  const stream = kit.raw.stream();
  stream.write(open("swapped"));
  expect((await stream.next())?.case).toBe("opened");
  const versions = new Set<string>();
  const answered: bigint[] = [];
  const reading = (async () => {
    for (let message = await stream.next(); message !== undefined; message = await stream.next()) {
      if (message.case !== "result" || message.value.outcome.case !== "result") throw new Error("no result");
      const inBatch = new Set(valuesOf(message.value.outcome.value));
      expect(inBatch.size).toBe(1);
      for (const version of inBatch) versions.add(version);
      answered.push(message.value.sequence);
    }
  })();
  let sequence = 0;
  for (let swap = 1; swap <= 4; swap++) {
    // Each stage takes off one character: what is left tells how many there were.
    const putting = kit.put("swapped", new Array(1 + (swap % 4)).fill("program"));
    let put = false;
    void putting.then(() => {
      put = true;
    });
    do {
      stream.write(numbered(++sequence, ...new Array(records).fill("mmmmm")));
      await until(() => answered.length === sequence, "the batch was answered");
    } while (!put);
    await putting;
  }
  stream.halfClose();
  await reading;
  expect(answered).toEqual(Array.from({ length: sequence }, (_, index) => BigInt(index + 1)));
  expect(versions.size).toBeGreaterThan(1);
});

test("batches that wait when their pipeline is replaced run in the version that took them", async () => {
  await kit.put("swapped", ["program"]);
  const held = [await kit.hold(), await kit.hold()];
  const before = kit.raw.transform(request("swapped", "mmm"));
  await until(() => kit.server.stats.admission.batches === 3, "the call waits");
  await kit.put("swapped", ["program", "program"]);
  const after = kit.raw.transform(request("swapped", "mmm"));
  await until(() => kit.server.stats.admission.batches === 4, "both calls wait");
  for (const { release } of held) await release();
  expect(valuesOf(await before)).toEqual(["mm"]);
  expect(valuesOf(await after)).toEqual(["m"]);
});

test("a pipeline that follows a module's name moves to the new version, one that names a version stays", async () => {
  await kit.load("rolling", "program", "1");
  await kit.put("follows", ["rolling"]);
  await kit.put("pinned", ["rolling@1"]);
  await kit.load("rolling", "marked", "2");
  expect(valuesOf(await kit.raw.transform(request("follows", "mm")))).toEqual(["mm"]);
  expect(valuesOf(await kit.raw.transform(request("pinned", "mm")))).toEqual(["m"]);
});

test("a deleted pipeline answers what it has taken; what comes later is told in band", async () => {
  await kit.put("short-lived", ["program"]);
  const stream = kit.raw.stream();
  stream.write(open("short-lived"));
  const held = [await kit.hold(), await kit.hold()];
  const { admission } = kit.server.stats;
  stream.write(numbered(1, "ma"));
  await until(() => admission.batches === 3, "the batch waits");
  await kit.leat.pipelines.deletePipeline({ name: "short-lived" });
  stream.write(numbered(2, "mb"));
  stream.halfClose();
  for (const { release } of held) await release();
  const [, first, second] = await stream.rest();
  expect(first).toMatchObject({ case: "result", value: { sequence: 1n, outcome: { case: "result" } } });
  expect(second).toMatchObject({
    case: "result",
    value: { sequence: 2n, outcome: { case: "error", value: { code: 5, reason: "PIPELINE_NOT_FOUND" } } },
  });
  expect(await stream.ended).toEqual({ t: "ok" });
});

test("a put that fails leaves the old pipeline serving, with its revision", async () => {
  await kit.put("steady", ["program"]);
  const before = await kit.leat.pipelines.getPipeline({ name: "steady" });
  await expect(kit.put("steady", ["no-such-module"])).rejects.toThrow(/no-such-module/);
  expect(await kit.leat.pipelines.getPipeline({ name: "steady" })).toEqual(before);
  expect(valuesOf(await kit.raw.transform(request("steady", "mm")))).toEqual(["m"]);
});
