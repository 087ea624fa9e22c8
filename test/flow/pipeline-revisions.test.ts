import { afterAll, beforeAll, expect, test } from "vitest";
import { startGuarded } from "../kit/access.ts";
import { testFolder } from "../kit/folder.ts";
import { request, valuesOf } from "../kit/records.ts";
import { holdingLimits, startTestServer, type TestServer } from "../kit/test-server.ts";
import { until } from "../kit/until.ts";

let kit: TestServer;

beforeAll(async () => {
  kit = await startTestServer({ limits: holdingLimits, modules: { program: "program", marked: "marked" } });
});

afterAll(() => kit[Symbol.asyncDispose]());

/** Puts a pipeline of so many stages that each take one character from the front of each record. */
async function put(name: string, stages: number, options: object = {}) {
  const pipeline = {
    name,
    stages: Array.from({ length: stages }, (_, index) => ({ name: `s${index + 1}`, module: "program" })),
  };
  return await kit.leat.pipelines.putPipeline({ pipeline, ...options });
}

async function servingOf(name: string): Promise<number | undefined> {
  return (await kit.leat.pipelines.getPipeline({ name })).pipeline?.revision;
}

async function rollback(name: string, options: object = {}): Promise<number | undefined> {
  return (await kit.leat.pipelines.rollbackPipeline({ name, ...options })).pipeline?.revision;
}

async function runs(name: string): Promise<string[]> {
  return valuesOf(await kit.raw.transform(request(name, "mmmm")));
}

test("each put that changes something makes a revision, and one that changes nothing makes none", async () => {
  expect(await put("counted", 1)).toMatchObject({ pipeline: { revision: 1 }, unchanged: false });
  const { pipeline } = await put("counted", 2);
  expect(await put("counted", 2)).toMatchObject({ pipeline, unchanged: true });
  const { revisions } = await kit.leat.pipelines.listPipelineRevisions({ name: "counted" });
  expect(revisions).toMatchObject([
    { revision: 2, previousRevision: 1, serving: true, principal: "" },
    { revision: 1, previousRevision: 0, serving: false },
  ]);
  expect(revisions[0]?.digest).not.toBe(revisions[1]?.digest);
  const { pipeline: first } = await kit.leat.pipelines.getPipeline({ name: "counted", revision: 1 });
  expect(first).toMatchObject({ revision: 1, stages: [{ module: "program" }] });
});

test("a rollback lets the revision serve that served before, and never one that was left", async () => {
  for (const stages of [1, 2, 3]) await put("aged", stages);
  expect(await rollback("aged")).toBe(2);
  expect(await runs("aged")).toEqual(["mm"]);
  expect(await put("aged", 4)).toMatchObject({ pipeline: { revision: 4 } });
  expect(await runs("aged")).toEqual([""]);
  expect(await rollback("aged")).toBe(2);
  expect(await rollback("aged")).toBe(1);
  expect(await runs("aged")).toEqual(["mmm"]);
  await expect(rollback("aged")).rejects.toMatchObject({ reason: "PIPELINE_NO_PREVIOUS", code: 9 });
  expect(await rollback("aged", { revision: 3 })).toBe(3);
  expect(await runs("aged")).toEqual(["m"]);
});

test("a rollback that is sent again changes nothing further", async () => {
  for (const stages of [1, 2, 3]) await put("twice", stages);
  const call = { name: "twice", expectedRevision: 3 };
  expect(await kit.leat.pipelines.rollbackPipeline(call)).toMatchObject({ alreadyServing: false });
  const again = await kit.leat.pipelines.rollbackPipeline(call);
  expect(again).toMatchObject({ alreadyServing: true, pipeline: { revision: 2 } });
  expect(await kit.leat.pipelines.rollbackPipeline({ name: "twice", revision: 2 })).toMatchObject({
    alreadyServing: true,
  });
  for (const expectedRevision of [1, 99])
    await expect(rollback("twice", { expectedRevision })).rejects.toMatchObject({
      reason: "PIPELINE_REVISION_CHANGED",
    });
  expect(await servingOf("twice")).toBe(2);
});

test("a put or a rollback that expects another revision is refused", async () => {
  expect(await put("watched", 1, { expectedRevision: 0 })).toMatchObject({ pipeline: { revision: 1 } });
  expect(await put("watched", 2, { expectedRevision: 1 })).toMatchObject({ pipeline: { revision: 2 } });
  const refused = { reason: "PIPELINE_REVISION_CHANGED", code: 10 };
  await expect(put("watched", 3, { expectedRevision: 1 })).rejects.toMatchObject(refused);
  await expect(put("watched", 3, { expectedRevision: 0 })).rejects.toMatchObject(refused);
  await expect(put("new", 1, { expectedRevision: 1 })).rejects.toMatchObject(refused);
  await expect(rollback("watched", { revision: 1, expectedRevision: 3 })).rejects.toMatchObject(refused);
  expect(await servingOf("watched")).toBe(2);
});

test("of changes that expect the same revision, one is made", async () => {
  await put("raced", 1);
  const changes = [2, 3, 4].map((stages) => put("raced", stages, { expectedRevision: 1 }));
  const outcomes = await Promise.allSettled(changes);
  expect(outcomes.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected", "rejected"]);
  expect(await servingOf("raced")).toBe(2);
});

test("a check only changes nothing, and refuses what a change would be refused for", async () => {
  await put("checked", 1);
  const validateOnly = true;
  expect(await put("checked", 2, { validateOnly })).toMatchObject({
    pipeline: { revision: 2 },
    unchanged: false,
  });
  expect(await servingOf("checked")).toBe(1);
  expect(await put("not-yet", 1, { validateOnly })).toMatchObject({ pipeline: { revision: 1 } });
  await expect(kit.leat.pipelines.getPipeline({ name: "not-yet" })).rejects.toMatchObject({ code: 5 });
  const unknown = { name: "checked", stages: [{ module: "nowhere" }] };
  await expect(kit.leat.pipelines.putPipeline({ pipeline: unknown, validateOnly })).rejects.toMatchObject({
    reason: "MODULE_NOT_FOUND",
  });
  await put("checked", 2);
  expect(await rollback("checked", { validateOnly })).toBe(1);
  expect(await servingOf("checked")).toBe(2);
});

test("a rollback that cannot be made leaves the pipeline serving and says why", async () => {
  await kit.load("passing", "program", "1");
  await kit.put("stays", ["passing@1"]);
  await put("stays", 2);
  await kit.leat.modules.unloadModule({ reference: "passing@1" });
  await expect(rollback("stays")).rejects.toMatchObject({
    reason: "MODULE_NOT_FOUND",
    message: expect.stringContaining("passing@1"),
  });
  await expect(rollback("stays", { revision: 7 })).rejects.toMatchObject({
    reason: "PIPELINE_REVISION_NOT_FOUND",
    code: 5,
  });
  expect(await servingOf("stays")).toBe(2);
  expect(await runs("stays")).toEqual(["mm"]);
});

test("a batch that was admitted before a rollback finishes on the revision it began with", async () => {
  await put("swapped", 1);
  await put("swapped", 2);
  const held = await kit.hold();
  const { admission } = kit.server.stats;
  const early = kit.raw.transform(request("swapped", "mmmm"));
  await until(() => admission.batches === 2, "the batch waits");
  const rolled = rollback("swapped");
  await until(async () => (await servingOf("swapped")) === 1, "the rollback is made");
  const late = kit.raw.transform(request("swapped", "mmmm"));
  await held.release();
  expect(await rolled).toBe(1);
  expect(valuesOf(await early)).toEqual(["mm"]);
  expect(valuesOf(await late)).toEqual(["mmm"]);
});

test("revisions outlive the server, and a rollback made before does, too", async () => {
  await using folder = await testFolder();
  const limits = { maxPipelineRevisions: 3 };
  {
    await using first = await startTestServer({ dataFolder: folder.path, limits });
    await first.load("program", "program");
    for (const stages of [1, 2, 3, 4])
      await first.put(
        "kept",
        Array.from({ length: stages }, () => "program"),
      );
    await first.leat.pipelines.rollbackPipeline({ name: "kept" });
  }
  await using second = await startTestServer({ dataFolder: folder.path, limits });
  const numbers = async () =>
    (await second.leat.pipelines.listPipelineRevisions({ name: "kept" })).revisions.map(
      ({ revision, serving }) => `${revision}${serving ? " serves" : ""}`,
    );
  expect(await numbers()).toEqual(["4", "3 serves", "2"]);
  expect(valuesOf(await second.raw.transform(request("kept", "mmmm")))).toEqual(["m"]);
  await second.leat.pipelines.rollbackPipeline({ name: "kept" });
  await second.put("kept", ["program"]);
  expect(await numbers()).toEqual(["5 serves", "4", "2"]);
});

test("a revision says who put it", async () => {
  await using guarded = await startGuarded();
  const { kit: server } = guarded;
  await server.load("program", "program");
  await server.put("owned", ["program"]);
  const { revisions } = await server.leat.pipelines.listPipelineRevisions({ name: "owned" });
  expect(revisions[0]?.principal).toBe("admin");
});
