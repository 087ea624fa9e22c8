import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { resolveLimits } from "../../server/limits.ts";
import { withConfigSchema } from "../../server/module/config-schema.ts";
import { testFolder } from "../kit/folder.ts";
import { moduleBytes } from "../kit/modules.ts";
import { inlineTarget, request, valuesOf } from "../kit/records.ts";
import { startTestServer, type TestServer } from "../kit/test-server.ts";

let kit: TestServer;

const schema = {
  type: "object",
  properties: { mode: { enum: ["mask", "hash"] }, fields: { type: "array", items: { type: "string" } } },
  additionalProperties: false,
};

async function moduleWith(json: object): Promise<Uint8Array> {
  return withConfigSchema(await moduleBytes("program"), Buffer.from(JSON.stringify(json)), resolveLimits());
}

async function load(name: string, version: string, json: object, options: object = {}) {
  return kit.leat.modules.loadModule({ name, version, wasm: await moduleWith(json), ...options });
}

async function put(name: string, configJson: string, options: object = {}) {
  const stages = [{ module: "program" }, { name: "second", module: "strict", configJson }];
  return kit.leat.pipelines.putPipeline({ pipeline: { name, stages }, ...options });
}

beforeAll(async () => {
  kit = await startTestServer({ modules: { program: "program" } });
  await load("strict", "1", schema);
});

afterAll(() => kit[Symbol.asyncDispose]());

describe("a configuration that the module's schema refuses", () => {
  test("is refused at a put, with its path in the pipeline", async () => {
    for (const validateOnly of [true, false])
      await expect(put("refused", '{"mode":"shout"}', { validateOnly })).rejects.toMatchObject({
        reason: "PIPELINE_INVALID",
        code: 3,
        message: expect.stringContaining('pipeline.stages[1].config.mode: must be one of "mask", "hash"'),
        violations: [{ field: "pipeline.stages[1].config.mode" }],
      });
    await expect(put("refused", '{"fields":["a",1]}')).rejects.toThrow(
      "pipeline.stages[1].config.fields[1]: must be text",
    );
    await expect(put("refused", '{"mod":"mask"}')).rejects.toThrow(
      "pipeline.stages[1].config.mod: is not known",
    );
    expect(await put("taken", '{"mode":"mask"}')).toMatchObject({ pipeline: { revision: 1 } });
  });

  test("is refused when a module is loaded with it", async () => {
    await expect(load("loaded", "1", schema, { sampleConfigJson: '{"mode":1}' })).rejects.toMatchObject({
      reason: "REQUEST_INVALID",
      message: expect.stringContaining("sample_config_json.mode: must be one of"),
    });
  });

  test("keeps a version from becoming active, and what serves goes on serving", async () => {
    await load("moving", "1", {});
    await kit.put("moves", [{ module: "moving", configJson: '{"mode":"mask"}' }]);
    const stricter = { properties: { mode: { const: "hash" } } };
    const refused = {
      reason: "MODULE_CONFIG_REFUSED",
      code: 9,
      message: 'the schema of module moving@2 refuses pipelines.moves.stages[0].config.mode: must be "hash"',
    };
    await expect(load("moving", "2", stricter)).rejects.toMatchObject(refused);
    await load("moving", "2", stricter, { noActivate: true });
    await expect(kit.leat.modules.activateModule({ reference: "moving@2" })).rejects.toMatchObject(refused);
    await expect(kit.leat.modules.startRollout({ reference: "moving@2", share: 0.5 })).rejects.toMatchObject(
      refused,
    );
    expect((await kit.leat.modules.getModule({ reference: "moving" })).module?.version).toBe("1");
    expect(valuesOf(await kit.raw.transform(request("moves", "mm")))).toEqual(["m"]);
  });

  test("keeps an earlier revision from serving again", async () => {
    await load("back", "1", {});
    await kit.put("goes-back", [{ module: "back", configJson: '{"mode":"mask"}' }]);
    await kit.put("goes-back", [{ module: "back" }]);
    await load("back", "2", { properties: { mode: { const: "hash" } } });
    await expect(kit.leat.pipelines.rollbackPipeline({ name: "goes-back" })).rejects.toMatchObject({
      reason: "MODULE_CONFIG_REFUSED",
    });
  });

  test("is refused in a chain that a call brings along, which has none", async () => {
    await load("needs", "1", { required: ["mode"] });
    const call = kit.leat.transform({ modules: ["program", "needs"] }, [{ value: "mm" }]);
    await expect(call).rejects.toMatchObject({
      reason: "MODULE_CONFIG_REFUSED",
      message: "the schema of module needs@1 refuses inline.modules[1].config: needs mode",
    });
    const result = await kit.raw.transform({
      ...request("", "mm"),
      target: inlineTarget("program", "strict"),
    });
    expect(valuesOf(result)).toEqual([""]);
  });
});

test("a module with a schema that is none is refused, also by a dry run", async () => {
  const section = (await moduleWith({})).subarray((await moduleBytes("program")).length);
  const wasm = Buffer.concat([await moduleBytes("program"), section]);
  wasm.writeUInt8(0x5b, wasm.length - 2);
  for (const dryRun of [true, false])
    await expect(kit.leat.modules.loadModule({ name: "broken", wasm, dryRun })).rejects.toMatchObject({
      reason: "MODULE_SCHEMA_INVALID",
      code: 3,
    });
});

test("a module shows its schema, and lists leave it out", async () => {
  const { module } = await kit.leat.modules.getModule({ reference: "strict" });
  expect(JSON.parse(module?.configSchemaJson ?? "")).toEqual(schema);
  expect(module?.usedBy).toEqual(["taken"]);
  const { modules } = await kit.leat.modules.listModules({ name: "strict" });
  expect(modules).toMatchObject([{ configSchemaJson: "", active: true, usedBy: ["taken"] }]);
});

test("a schema outlives the server", async () => {
  await using folder = await testFolder();
  const wasm = await moduleWith(schema);
  {
    await using first = await startTestServer({ dataFolder: folder.path });
    await first.leat.modules.loadModule({ name: "kept", version: "1", wasm });
  }
  await using second = await startTestServer({ dataFolder: folder.path });
  await expect(second.put("kept", [{ module: "kept", configJson: '{"mode":1}' }])).rejects.toMatchObject({
    reason: "PIPELINE_INVALID",
  });
  await second.put("kept", ["kept"]);
});
