import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { moduleBytes } from "../kit/modules.ts";
import { request, valuesOf } from "../kit/records.ts";
import { holdingLimits, startTestServer, type TestServer } from "../kit/test-server.ts";
import { until } from "../kit/until.ts";

let kit: TestServer;

beforeAll(async () => {
  kit = await startTestServer({ limits: holdingLimits, modules: { marked: "marked" } });
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

/** `program` takes a character off, `marked` does not, `uppercase` shouts: the answer tells which one ran. */
const versions = { "1": "program", "2": "marked", "3": "uppercase" };
const shows = { mm: "2", m: "1", MM: "3" };

async function loadAll(name: string): Promise<void> {
  for (const [version, source] of Object.entries(versions)) await kit.load(name, source, version);
}

async function running(pipeline: string): Promise<string | undefined> {
  const [value] = valuesOf(await kit.raw.transform(request(pipeline, "mm")));
  return Object.entries(shows).find(([shown]) => shown === value)?.[1];
}

async function causes(name: string) {
  const { activations } = await kit.leat.modules.getModuleHistory({ name });
  return activations.map(({ version, cause }) => `${version} ${cause}`);
}

describe("an activation", () => {
  test("moves the pipelines that follow the name, and those inline, and no other", async () => {
    await loadAll("a");
    await kit.put("a-follows", ["a"]);
    await kit.put("a-pinned", ["a@3"]);
    const answer = await kit.leat.modules.activateModule({ reference: "a@1" });
    expect(answer).toMatchObject({ previousVersion: "3", alreadyActive: false, module: { active: true } });
    expect([await running("a-follows"), await running("a-pinned")]).toEqual(["1", "3"]);
    const inline = await kit.leat.transform({ modules: ["a"] }, [{ value: "mm" }]);
    expect([...inline.outputs].map(({ value }) => Buffer.from(value ?? []).toString())).toEqual(["m"]);
    const { modules } = await kit.leat.modules.listModules({ name: "a" });
    expect(modules.map(({ version, active }) => [version, active])).toEqual([
      ["1", true],
      ["2", false],
      ["3", false],
    ]);
    const again = await kit.leat.modules.activateModule({ reference: "a@1" });
    expect(again).toMatchObject({ alreadyActive: true, previousVersion: "" });
  });

  test("leaves everything as it was when a pipeline does not take the version", async () => {
    await kit.load("b", "program", "1");
    await kit.put("b-follows", [{ module: "b", configJson: '"r"' }]);
    const wasm = await moduleBytes("init");
    await kit.leat.modules.loadModule({ name: "b", version: "2", wasm, noActivate: true });
    const failing = kit.leat.modules.activateModule({ reference: "b@2" });
    await expect(failing).rejects.toMatchObject({ reason: "MODULE_INIT_FAILED" });
    expect(await running("b-follows")).toBe("1");
    expect(await causes("b")).toEqual(["1 1"]);
  });

  test("that says what it leaves may be sent again, and is refused where another version is active", async () => {
    await loadAll("e");
    const call = { name: "e", expectedVersion: "3" };
    for (let time = 0; time < 2; time++)
      expect(await kit.leat.modules.rollbackModule(call)).toMatchObject({
        previousVersion: "3",
        module: { version: "2", active: true },
      });
    expect(await causes("e")).toHaveLength(4);
    await kit.leat.modules.activateModule({ reference: "e@1" });
    for (const expectedVersion of ["3", "2", "none"])
      await expect(kit.leat.modules.rollbackModule({ name: "e", expectedVersion })).rejects.toMatchObject({
        reason: "MODULE_VERSION_CHANGED",
        metadata: { module: "e", expected: expectedVersion, active: "1" },
      });
    expect(await causes("e")).toHaveLength(5);
  });

  test("of a module that is not there is refused", async () => {
    for (const reference of ["nobody@1", "nobody"])
      await expect(kit.leat.modules.activateModule({ reference })).rejects.toMatchObject({
        reason: "MODULE_NOT_FOUND",
      });
    await loadAll("several");
    await expect(kit.leat.modules.activateModule({ reference: "several" })).rejects.toMatchObject({
      reason: "MODULE_AMBIGUOUS",
    });
  });

  test("lets batches that wait finish with the version that took them", async () => {
    await loadAll("c");
    await kit.put("c-follows", ["c"]);
    const held = await kit.hold();
    const before = kit.raw.transform(request("c-follows", "mm"));
    await until(() => kit.server.stats.admission.batches === 2, "the call waits");
    await kit.leat.modules.activateModule({ reference: "c@1" });
    const after = kit.raw.transform(request("c-follows", "mm"));
    await until(() => kit.server.stats.admission.batches === 3, "both calls wait");
    await held.release();
    expect(valuesOf(await before)).toEqual(["MM"]);
    expect(valuesOf(await after)).toEqual(["m"]);
  });
});

describe("a rollback", () => {
  test("goes back one version at a time, and says when there is none left", async () => {
    await loadAll("d");
    await kit.put("d-follows", ["d"]);
    const first = await kit.leat.modules.rollbackModule({ name: "d" });
    expect(first).toMatchObject({ previousVersion: "3", module: { version: "2", active: true } });
    expect(await running("d-follows")).toBe("2");
    await kit.leat.modules.rollbackModule({ name: "d" });
    expect(await running("d-follows")).toBe("1");
    await expect(kit.leat.modules.rollbackModule({ name: "d" })).rejects.toMatchObject({
      reason: "MODULE_NO_PREVIOUS",
    });
    await kit.leat.modules.activateModule({ reference: "d@3" });
    await kit.leat.modules.rollbackModule({ name: "d" });
    expect(await causes("d")).toEqual(["1 3", "3 2", "1 3", "2 3", "3 1", "2 1", "1 1"]);
    expect(await running("d-follows")).toBe("1");
  });

  test("of a module that is not there is refused", async () => {
    await expect(kit.leat.modules.rollbackModule({ name: "nobody" })).rejects.toMatchObject({
      reason: "MODULE_NOT_FOUND",
    });
    await expect(kit.leat.modules.getModuleHistory({ name: "nobody" })).rejects.toMatchObject({
      reason: "MODULE_NOT_FOUND",
    });
  });
});

test("changes in a row start no thread each", async () => {
  await loadAll("h");
  await kit.put("h-follows", ["h"]);
  let started = 0;
  const count = (): void => void started++;
  process.on("worker", count);
  for (let change = 0; change < 4; change++) {
    await kit.leat.modules.activateModule({ reference: "h@1" });
    await kit.leat.modules.rollbackModule({ name: "h" });
  }
  process.off("worker", count);
  expect(started).toBe(0);
});

test("a load that shall not activate leaves the active version, and a name of such loads alone has none", async () => {
  await kit.load("e", "program", "1");
  await kit.put("e-follows", ["e"]);
  const wasm = await moduleBytes("marked");
  await kit.leat.modules.loadModule({ name: "e", version: "2", wasm, noActivate: true });
  expect(await running("e-follows")).toBe("1");
  await kit.leat.modules.loadModule({ name: "f", version: "1", wasm, noActivate: true });
  await expect(kit.put("f-follows", ["f"])).rejects.toMatchObject({ reason: "MODULE_NOT_ACTIVE" });
  await kit.put("f-follows", ["f@1"]);
  expect(await causes("f")).toEqual([]);
});

test("when the active version is unloaded, the one before it is active again", async () => {
  await loadAll("g");
  await kit.leat.modules.activateModule({ reference: "g@1" });
  await kit.leat.modules.unloadModule({ reference: "g@1" });
  expect(await causes("g")).toEqual(["3 5", "1 2", "3 1", "2 1", "1 1"]);
  await kit.leat.modules.unloadModule({ reference: "g@3" });
  expect(kit.server.registry.modules.active("g")?.version).toBe("2");
});

describe("an upload", () => {
  const wasm = moduleBytes("program");

  async function* pieces(size: number) {
    yield { piece: { case: "module" as const, value: { name: "sent", version: "1" } } };
    const bytes = await wasm;
    for (let at = 0; at < bytes.length; at += size)
      yield { piece: { case: "chunk" as const, value: bytes.subarray(at, at + size) } };
  }

  test("in pieces is the same as a load", async () => {
    const { module, alreadyLoaded } = await kit.leat.modules.uploadModule(pieces(100));
    expect([module?.name, alreadyLoaded]).toEqual(["sent", false]);
    const again = await kit.leat.modules.loadModule({ name: "sent", version: "1", wasm: await wasm });
    expect(again).toMatchObject({ alreadyLoaded: true, module: { digest: module?.digest } });
  });

  const chunk = { piece: { case: "chunk" as const, value: Buffer.from("00") } };
  const module = { piece: { case: "module" as const, value: { name: "sent", wasm: Buffer.from("00") } } };
  test.each([
    ["nothing", [], "module"],
    ["bytes before the module", [chunk], "module"],
    ["two modules", [{ piece: { case: "module" as const, value: { name: "a" } } }, module], "module"],
    ["bytes in the first message", [module], "module.wasm"],
    ["an empty message", [{ piece: { case: "module" as const, value: { name: "a" } } }, {}], "piece"],
  ])("of %s is refused", async (_, messages, field) => {
    async function* sent() {
      yield* messages;
    }
    await expect(kit.leat.modules.uploadModule(sent())).rejects.toMatchObject({
      reason: "REQUEST_INVALID",
      metadata: { field },
    });
  });

  test("of more than a module may have ends as soon as that is seen", async () => {
    await using small = await startTestServer({ limits: { maxModuleBytes: 150 } });
    await expect(small.leat.modules.uploadModule(pieces(100))).rejects.toMatchObject({
      reason: "MODULE_TOO_LARGE",
      metadata: { limit: "maxModuleBytes", value: "150", measured: "200" },
    });
  });
});
