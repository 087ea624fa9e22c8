import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { request, shapeOf, valuesOf } from "../kit/records.ts";
import { startTestServer, type TestServer } from "../kit/test-server.ts";
import { guest, wat } from "../kit/wat.ts";

let kit: TestServer;

const maxInitMs = 150;

beforeAll(async () => {
  kit = await startTestServer({
    limits: { maxInitMs, maxBatchExecutionMs: 300, maxRecordExecutionMs: 100 },
    modules: { init: "init", program: "program" },
  });
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

async function everything() {
  const { modules } = await kit.leat.modules.listModules({});
  const { pipelines } = await kit.leat.pipelines.listPipelines({});
  return { modules, pipelines };
}

/** Runs a change that must fail, sees that it changed nothing, and returns its error. */
async function refused(change: () => Promise<unknown>): Promise<unknown> {
  const before = await everything();
  const error = await change().then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error, "the change was accepted").toBeDefined();
  expect(await everything()).toEqual(before);
  return error;
}

function put(configJson: string) {
  return refused(() => kit.put("picky", [{ module: "init", configJson }]));
}

describe("a pipeline whose stage does not start is not stored", () => {
  test("the module refuses its configuration: its own words are passed on", async () => {
    expect(await put('"r"')).toMatchObject({
      reason: "MODULE_INIT_FAILED",
      message: expect.stringContaining("no such thing"),
      metadata: { module: expect.stringMatching(/^init@/) },
    });
  });

  test("it traps", async () => {
    expect(await put('"t"')).toMatchObject({
      reason: "MODULE_INIT_FAILED",
      message: expect.stringContaining("unreachable"),
    });
  });

  test("it loops: it is stopped at the limit", async () => {
    const stopped = kit.server.stats.pool.stopped.get("timeout") ?? 0;
    expect(await put('"l"')).toMatchObject({ reason: "MODULE_WARMUP_FAILED" });
    expect(kit.server.stats.pool.stopped.get("timeout")).toBe(stopped + 1);
  });

  test("its refusal lies outside of its memory", async () => {
    expect(await put('"p"')).toMatchObject({
      reason: "MODULE_INIT_FAILED",
      message: expect.stringContaining("outside the memory"),
    });
  });

  test("its configuration is no JSON, or too long", async () => {
    expect(await put("{")).toMatchObject({ reason: "PIPELINE_INVALID" });
    expect(await put(JSON.stringify("x".repeat(70_000)))).toMatchObject({
      reason: "PIPELINE_INVALID",
      message: expect.stringContaining("maxConfigBytes"),
    });
  });
});

describe("a module that does not start is not loaded", () => {
  const cases: [string, () => Uint8Array, string][] = [
    ["its start function traps", () => guest("(func $s unreachable) (start $s)"), "MODULE_INIT_FAILED"],
    [
      "its start function loops",
      () => guest("(func $s (loop $l (br $l))) (start $s)"),
      "MODULE_WARMUP_FAILED",
    ],
    [
      "its _initialize recurses without end",
      () => guest('(func $i (export "_initialize") (call $i))'),
      "MODULE_INIT_FAILED",
    ],
    ["it traps on a batch of no records", () => guest("", "(unreachable)"), "MODULE_WARMUP_FAILED"],
    [
      "it loops on a batch of no records",
      () => guest("", "(loop $l (br $l)) (i64.const 0)"),
      "MODULE_WARMUP_FAILED",
    ],
    [
      "it returns nonsense for a batch of no records",
      () => guest("", "(i64.const -1)"),
      "MODULE_WARMUP_FAILED",
    ],
  ];
  test.each(cases)("%s", async (_, make, reason) => {
    const error = await refused(() => kit.load("faulty", make()));
    expect(error).toMatchObject({ reason, metadata: { module: expect.stringMatching(/^faulty@/) } });
  });

  test("its sample configuration is refused", async () => {
    const { wasm } = await moduleOf("init");
    const error = await refused(() =>
      kit.leat.modules.loadModule({ name: "picky", wasm, sampleConfigJson: '"r"' }),
    );
    expect(error).toMatchObject({
      reason: "MODULE_INIT_FAILED",
      message: expect.stringContaining("no such thing"),
    });
  });
});

async function moduleOf(name: string): Promise<{ wasm: Uint8Array<ArrayBuffer> }> {
  const { moduleBytes } = await import("../kit/modules.ts");
  return { wasm: Uint8Array.from(await moduleBytes(name)) };
}

test("a version that a following pipeline cannot take is not loaded, and its bytes are not kept", async () => {
  await kit.load("followed", "init", "1");
  await kit.put("follower", [{ module: "followed", configJson: '"ok"' }]);
  const picky = wat(`(module
    (memory (export "memory") 1)
    (func (export "leat_alloc") (param i32) (result i32) (i32.const 1024))
    (func (export "leat_init") (param i32 i32) (result i64)
      (if (result i64) (i32.eq (local.get 1) (i32.const 4)) (then (unreachable)) (else (i64.const 0))))
    (func (export "leat_transform") (param i32 i32) (result i64) (i64.const 0)))`);
  const kept = kit.modules.size;
  const cached = (await kit.metrics()).moduleCache?.modules;
  const error = await refused(() => kit.load("followed", picky, "2"));
  expect(error).toMatchObject({ reason: "MODULE_INIT_FAILED" });
  expect(kit.modules.size).toBe(kept);
  expect((await kit.metrics()).moduleCache?.modules).toBe(cached);
  expect(valuesOf(await kit.raw.transform(request("follower", "a")))).toEqual(["a"]);
  // What was refused can be loaded under another name: nothing of it is in the way.
  await kit.load("unfollowed", picky, "2");
  expect(kit.modules.size).toBe(kept + 1);
});

test("a slow start holds up nobody else", async () => {
  const putting = kit
    .put("looping", [{ module: "init", configJson: '"l"' }])
    .catch((error: unknown) => error);
  expect(shapeOf(await kit.raw.transform(request("program", "ma")), 1)).toEqual({
    values: ["a"],
    fanout: [1],
    failures: [],
  });
  expect(await putting).toMatchObject({ reason: "MODULE_WARMUP_FAILED" });
});

test("a dry run checks all of it and stores nothing", async () => {
  const { wasm } = await moduleOf("marked");
  const before = await everything();
  const { module } = await kit.leat.modules.loadModule({ name: "tried", wasm, dryRun: true });
  expect(module?.digest).toMatch(/^sha256:/);
  expect(await everything()).toEqual(before);
});
