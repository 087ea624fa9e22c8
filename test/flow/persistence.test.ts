import { readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { failureOf } from "../kit/call-error.ts";
import { testFolder } from "../kit/folder.ts";
import { moduleBytes } from "../kit/modules.ts";
import { request, valuesOf } from "../kit/records.ts";
import { startTestServer, type TestServer } from "../kit/test-server.ts";
import { until } from "../kit/until.ts";

/** Runs a server over the folder and ends it. */
async function during<T>(dataFolder: string, work: (kit: TestServer) => Promise<T>): Promise<T> {
  await using kit = await startTestServer({ dataFolder });
  return await work(kit);
}

async function runs(kit: TestServer, pipeline: string, value: string): Promise<string[]> {
  return valuesOf(await kit.raw.transform(request(pipeline, value)));
}

async function fileOf(folder: string, kit: TestServer, reference: string): Promise<string> {
  const { digest } = kit.server.registry.modules.resolve(reference);
  return join(folder, "modules/sha256", digest.slice(7, 9), `${digest.slice(7)}.wasm`);
}

test("modules, active versions, pipelines and their policies outlive the server", async () => {
  await using folder = await testFolder();
  const before = await during(folder.path, async (kit) => {
    await kit.load("rolling", "program", "1");
    await kit.load("rolling", "marked", "2");
    await kit.put("follows", [{ module: "rolling", onFailure: 2, retry: { attempts: 3 } }]);
    await kit.put("pinned", ["rolling@2"]);
    await kit.put("pinned", ["rolling@1"]);
    return {
      modules: await kit.leat.modules.listModules({}),
      pipelines: await kit.leat.pipelines.listPipelines({}),
    };
  });
  await during(folder.path, async (kit) => {
    expect(await kit.leat.modules.listModules({})).toEqual(before.modules);
    expect(await kit.leat.pipelines.listPipelines({})).toEqual(before.pipelines);
    expect(await runs(kit, "follows", "mm")).toEqual(["mm"]);
    expect(await runs(kit, "pinned", "mm")).toEqual(["m"]);
    const again = async (stages: string[]) => {
      await kit.put("pinned", stages);
      return (await kit.leat.pipelines.getPipeline({ name: "pinned" })).pipeline?.revision;
    };
    expect(await again(["rolling@1"])).toBe(2);
    expect(await again(["rolling@2"])).toBe(3);
  });
});

test("what was taken out stays out, and its version stays bound to its bytes", async () => {
  await using folder = await testFolder();
  await during(folder.path, async (kit) => {
    await kit.load("gone", "program", "1");
    await kit.put("passing", ["gone"]);
    await kit.leat.pipelines.deletePipeline({ name: "passing" });
    await kit.leat.modules.unloadModule({ reference: "gone" });
    expect(await readdir(join(folder.path, "modules/sha256"), { recursive: true })).toHaveLength(1);
  });
  await during(folder.path, async (kit) => {
    expect(kit.server.registry.modules.list()).toEqual([]);
    expect(kit.server.registry.pipelines.list()).toEqual([]);
    await expect(kit.load("gone", "marked", "1")).rejects.toMatchObject({ reason: "MODULE_VERSION_BOUND" });
    await kit.load("gone", "program", "1");
  });
});

test("a restored pipeline is built in the background, without a call for it", async () => {
  await using folder = await testFolder();
  await during(folder.path, async (kit) => {
    await kit.load("program", "program");
    for (const name of ["one", "two"]) await kit.put(name, ["program"]);
  });
  await during(folder.path, async (kit) => {
    const waiting = () => kit.server.registry.pipelines.list().filter(({ serving }) => serving === undefined);
    await until(() => waiting().length === 0, "all pipelines are built");
  });
});

test.each([
  ["is gone", (file: string) => rm(file)],
  ["is broken", (file: string) => writeFile(file, "no database any more")],
])("what serves is written down again when the store's file %s", async (_, harm) => {
  await using folder = await testFolder();
  const before = await during(folder.path, async (kit) => {
    await kit.load("kept", "program", "1");
    await kit.load("kept", "marked", "2");
    await kit.leat.modules.rollbackModule({ name: "kept" });
    await kit.load("gone", "program", "1");
    await kit.leat.modules.unloadModule({ reference: "gone@1" });
    const signature = new Uint8Array(40);
    await kit.leat.modules.loadModule({ name: "signed", wasm: await moduleBytes("program"), signature });
    await kit.put("follows", ["kept"]);
    for (const journal of ["-wal", "-shm"]) await rm(join(folder.path, `leat.sqlite${journal}`));
    await harm(join(folder.path, "leat.sqlite"));
    // Whoever uses the store next finds out. Of a broken file, it is that call which fails.
    await kit.load("last", "uppercase", "1").catch(() => undefined);
    await kit.load("last", "uppercase", "1");
    await kit.put("last", ["last"]);
    return {
      modules: await kit.leat.modules.listModules({}),
      history: await kit.leat.modules.getModuleHistory({ name: "kept" }),
      pipelines: await kit.leat.pipelines.listPipelines({}),
    };
  });
  await during(folder.path, async (kit) => {
    expect(await kit.leat.modules.listModules({})).toEqual(before.modules);
    expect(await kit.leat.modules.getModuleHistory({ name: "kept" })).toEqual(before.history);
    expect(await kit.leat.pipelines.listPipelines({})).toEqual(before.pipelines);
    await expect(kit.load("gone", "marked", "1")).rejects.toMatchObject({ reason: "MODULE_VERSION_BOUND" });
    expect(await runs(kit, "follows", "mm")).toEqual(["m"]);
  });
});

test("a missing and a broken binary are named, and nothing else suffers", async () => {
  await using folder = await testFolder();
  const [missing, broken] = await during(folder.path, async (kit) => {
    await kit.load("missing", "program", "1");
    await kit.load("broken", "marked", "1");
    await kit.load("whole", "uppercase", "1");
    for (const name of ["missing", "broken", "whole"]) await kit.put(name, [name]);
    return [await fileOf(folder.path, kit, "missing"), await fileOf(folder.path, kit, "broken")];
  });
  await rm(missing);
  const right = await moduleBytes("marked");
  await writeFile(broken, Buffer.from(right).fill(0, right.length - 1));
  await during(folder.path, async (kit) => {
    expect(await runs(kit, "whole", "mm")).toEqual(["MM"]);
    for (const name of ["missing", "broken"])
      expect((await failureOf(runs(kit, name, "mm"))).reason).toBe("MODULE_FILE_BROKEN");
    const { modules } = await kit.leat.modules.listModules({});
    expect(modules.map(({ name, problem }) => [name, problem])).toEqual([
      ["broken", expect.stringMatching(/have the digest/)],
      ["missing", "its file is missing"],
      ["whole", ""],
    ]);
    await kit.load("missing", "program", "1");
    await kit.load("broken", "marked", "1");
    expect(await runs(kit, "missing", "mm")).toEqual(["m"]);
    expect(await runs(kit, "broken", "mm")).toEqual(["mm"]);
    const after = await kit.leat.modules.listModules({});
    expect(after.modules.map(({ problem }) => problem)).toEqual(["", "", ""]);
  });
});
