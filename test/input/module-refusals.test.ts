import { GetModuleRequestSchema, LoadModuleRequestSchema, UnloadModuleRequestSchema } from "@leat/sdk";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { failureOf } from "../kit/call-error.ts";
import { moduleBytes } from "../kit/modules.ts";
import { encode } from "../kit/raw-client.ts";
import { request, valuesOf } from "../kit/records.ts";
import { startTestServer, type TestServer } from "../kit/test-server.ts";
import { guest, leb, section, wasm, wat } from "../kit/wat.ts";

let kit: TestServer;
let program: Uint8Array;

const limits = {
  maxModuleBytes: 20_000,
  maxFunctions: 50,
  maxExports: 20,
  maxTables: 2,
  maxLocals: 100,
  maxModules: 6,
  maxConfigBytes: 1_000,
};

beforeAll(async () => {
  kit = await startTestServer({ limits, modules: { program: "program" } });
  program = await moduleBytes("program");
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

async function everything() {
  const { modules } = await kit.leat.modules.listModules({});
  const { pipelines } = await kit.leat.pipelines.listPipelines({});
  return { modules, pipelines, kept: kit.modules.size };
}

const path = "/leat.v1.ModuleService";

/** Calls with plain grpc-js what must fail; sees that nothing has changed, and that the server serves on. */
async function refused(method: string, bytes: Uint8Array) {
  const before = await everything();
  const failure = await failureOf(kit.raw.call(`${path}/${method}`, bytes).response);
  expect(await everything()).toEqual(before);
  expect(failure.domain).toBe("leat");
  expect(valuesOf(await kit.raw.transform(request("program", "ma")))).toEqual(["a"]);
  return failure;
}

function load(
  wasmBytes: Uint8Array,
  name = "bad",
  rest: { version?: string; sampleConfigJson?: string } = {},
) {
  return refused("LoadModule", encode(LoadModuleRequestSchema, { name, wasm: wasmBytes, ...rest }));
}

const abi = `(func (export "leat_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "leat_transform") (param i32 i32) (result i64) (i64.const 0))`;

describe("what is no WebAssembly", () => {
  test.each([
    ["nothing", Buffer.alloc(0)],
    ["text", Buffer.from("#!/bin/sh\necho hello\n")],
    ["a header cut short", Buffer.from([0x00, 0x61, 0x73, 0x6d, 0x01])],
    ["another version", Buffer.from([0x00, 0x61, 0x73, 0x6d, 0x02, 0x00, 0x00, 0x00])],
    ["a component", Buffer.from([0x00, 0x61, 0x73, 0x6d, 0x0d, 0x00, 0x01, 0x00])],
  ])("%s is refused as MODULE_NOT_WASM", async (_, bytes) => {
    expect(await load(bytes)).toMatchObject({ status: "INVALID_ARGUMENT", reason: "MODULE_NOT_WASM" });
  });

  test("a section that is cut short is MODULE_MALFORMED and says where", async () => {
    const cut = program.subarray(0, program.length - 3);
    const failure = await load(cut);
    expect(failure).toMatchObject({ status: "INVALID_ARGUMENT", reason: "MODULE_MALFORMED" });
    expect(Number(failure.metadata["offset"])).toBeGreaterThan(8);
  });

  test("a body that does not validate is MODULE_COMPILE_FAILED", async () => {
    // `unreachable` made into `i32.add` without operands.
    const bytes = Buffer.from(guest("", "(unreachable)"));
    const at = bytes.lastIndexOf(Buffer.from([0x00, 0x0b]));
    bytes[at] = 0x6a;
    expect(await load(bytes)).toMatchObject({ status: "INVALID_ARGUMENT", reason: "MODULE_COMPILE_FAILED" });
  });
});

describe("what a module may not import", () => {
  test.each([
    ["env.abort", '(import "env" "abort" (func (param i32)))'],
    ["leat.no_such_function", '(import "leat" "no_such_function" (func))'],
    ["leat.begin_record", '(import "leat" "begin_record" (func (param i64)))'],
    [
      "wasi_snapshot_preview1.sock_send",
      '(import "wasi_snapshot_preview1" "sock_send" (func (param i32 i32 i32 i32 i32) (result i32)))',
    ],
    ["env.memory", '(import "env" "memory" (memory 1))'],
    ["leat.table", '(import "leat" "table" (table 1 funcref))'],
    ["js.global", '(import "js" "global" (global i32))'],
  ])("%s is named", async (name, text) => {
    const memory = name === "env.memory" ? "" : '(memory (export "memory") 1)';
    expect(await load(wat(`(module ${text} ${memory} ${abi})`))).toMatchObject({
      status: "INVALID_ARGUMENT",
      reason: "MODULE_IMPORT_FORBIDDEN",
      metadata: { import: name },
    });
  });
});

describe("what a module must export", () => {
  const memory = '(memory (export "memory") 1)';
  const alloc = '(func (export "leat_alloc") (param i32) (result i32) (i32.const 0))';
  const transform = '(func (export "leat_transform") (param i32 i32) (result i64) (i64.const 0))';
  test.each([
    ["memory", `${alloc} ${transform}`],
    ["leat_alloc", `${memory} ${transform}`],
    ["leat_transform", `${memory} ${alloc}`],
  ])("without %s it is MODULE_EXPORT_MISSING", async (name, text) => {
    expect(await load(wat(`(module ${text})`))).toMatchObject({
      status: "INVALID_ARGUMENT",
      reason: "MODULE_EXPORT_MISSING",
      metadata: { export: name },
    });
  });

  test.each([
    ["memory", `(func (export "memory")) ${alloc} ${transform}`],
    [
      "leat_alloc",
      `${memory} ${transform} (func (export "leat_alloc") (param i64) (result i32) (i32.const 0))`,
    ],
    [
      "leat_transform",
      `${memory} ${alloc} (func (export "leat_transform") (param i32 i32) (result i32) (i32.const 0))`,
    ],
    ["leat_init", `${memory} ${alloc} ${transform} (func (export "leat_init"))`],
    ["_initialize", `${memory} ${alloc} ${transform} (func (export "_initialize") (param i32))`],
  ])("with a %s of another type it is MODULE_EXPORT_MISMATCH", async (name, text) => {
    const failure = await load(wat(`(module ${text})`));
    expect(failure).toMatchObject({
      status: "INVALID_ARGUMENT",
      reason: "MODULE_EXPORT_MISMATCH",
      metadata: { export: name },
    });
    expect(failure.metadata["expected"]).not.toBe(failure.metadata["found"]);
  });
});

describe("features that are not run", () => {
  test("memory64", async () => {
    const failure = await load(wat(`(module (memory (export "memory") i64 1) ${abi})`));
    expect(failure).toMatchObject({ status: "INVALID_ARGUMENT", reason: "MODULE_FEATURE_REFUSED" });
    expect(failure.metadata["feature"]).toMatch(/64/);
  });

  test("shared memory", async () => {
    const failure = await load(wat(`(module (memory (export "memory") 1 1 shared) ${abi})`));
    expect(failure).toMatchObject({ status: "INVALID_ARGUMENT", reason: "MODULE_FEATURE_REFUSED" });
    expect(failure.metadata["feature"]).toMatch(/shared/);
  });

  test("a second memory", async () => {
    expect(await load(wasm(section(5, 2, 0, 1, 0, 1)))).toMatchObject({ reason: "MODULE_FEATURE_REFUSED" });
  });
});

describe("limits on a module are named, with their value and what was measured", () => {
  const over = async (bytes: Uint8Array, limit: keyof typeof limits, reason = "MODULE_LIMIT_EXCEEDED") => {
    const failure = await load(bytes);
    expect(failure).toMatchObject({
      status: "INVALID_ARGUMENT",
      reason,
      metadata: { limit, value: String(limits[limit]) },
    });
    expect(Number(failure.metadata["measured"])).toBeGreaterThan(limits[limit]);
    expect(failure.message).toContain(limit);
  };

  test("its size", async () => {
    // A custom section takes any bytes.
    const padding = new Array<number>(limits.maxModuleBytes).fill(0x61);
    await over(wasm(section(0, ...leb(1), 0x61, ...padding)), "maxModuleBytes", "MODULE_TOO_LARGE");
  });

  test("its functions, exports, tables and locals", async () => {
    await over(guest("(func)".repeat(60)), "maxFunctions");
    await over(
      guest(
        Array.from({ length: 20 }, (_, index) => `(global (export "g${index}") i32 (i32.const 0))`).join(" "),
      ),
      "maxExports",
    );
    await over(guest("(table 1 funcref)".repeat(3)), "maxTables");
    await over(guest(`(func (local ${"i32 ".repeat(120)}))`), "maxLocals");
  });

  test("a large table does not end the process: its maximum is lowered, its size refused", async () => {
    await expect(load(guest("(table 4000000000 funcref)"))).resolves.toMatchObject({
      reason: "MODULE_LIMIT_EXCEEDED",
      metadata: { limit: "maxTableEntries" },
    });
  });

  test("the number of modules", async () => {
    const names = ["a", "b", "c", "d", "e"];
    for (const name of names) await kit.load(name, program);
    expect(await load(guest(), "one-more")).toMatchObject({
      status: "RESOURCE_EXHAUSTED",
      reason: "TOO_MANY_MODULES",
      metadata: { limit: "maxModules", value: "6", measured: "7" },
    });
    for (const name of names) await kit.leat.modules.unloadModule({ reference: name });
  });
});

describe("names", () => {
  test.each([
    "",
    "Upper",
    "-a",
    "a b",
    "a/b",
    "ä",
    "a".repeat(65),
    "a\n",
    "sha256:abc",
    "../../etc/passwd",
    "a@1",
  ])("%j is no name of a module", async (name) => {
    expect(await load(program, name)).toMatchObject({
      status: "INVALID_ARGUMENT",
      reason: "REQUEST_INVALID",
      metadata: { field: "name" },
      fields: ["name"],
    });
  });

  test("nor is it one of a version", async () => {
    expect(await load(program, "good", { version: "v 1" })).toMatchObject({
      reason: "REQUEST_INVALID",
      metadata: { field: "version" },
    });
  });

  test.each(["no-such-module", "program@9", `sha256:${"0".repeat(64)}`])(
    "%s names nothing",
    async (reference) => {
      for (const [method, schema] of [
        ["GetModule", GetModuleRequestSchema],
        ["UnloadModule", UnloadModuleRequestSchema],
      ] as const) {
        expect(await refused(method, encode(schema, { reference }))).toMatchObject({
          status: "NOT_FOUND",
          reason: "MODULE_NOT_FOUND",
          metadata: { module: reference },
        });
      }
    },
  );

  test.each(["", "@1", "program@", "sha256:12", "Program"])("%j is no reference", async (reference) => {
    expect(await refused("GetModule", encode(GetModuleRequestSchema, { reference }))).toMatchObject({
      status: "INVALID_ARGUMENT",
      reason: "REQUEST_INVALID",
    });
  });

  test("a version stays bound to its bytes", async () => {
    await kit.load("bound", program, "1");
    expect(await load(guest(), "bound", { version: "1" })).toMatchObject({
      status: "ALREADY_EXISTS",
      reason: "MODULE_VERSION_BOUND",
      metadata: { module: "bound@1" },
    });
    const again = await kit.leat.modules.loadModule({
      name: "bound",
      version: "1",
      wasm: Uint8Array.from(program),
    });
    expect(again.alreadyLoaded).toBe(true);
    await kit.leat.modules.unloadModule({ reference: "bound" });
  });

  test("a name with several versions is ambiguous where one must go", async () => {
    await kit.load("many", program, "1");
    await kit.load("many", guest(), "2");
    expect(
      await refused("UnloadModule", encode(UnloadModuleRequestSchema, { reference: "many" })),
    ).toMatchObject({
      status: "INVALID_ARGUMENT",
      reason: "MODULE_AMBIGUOUS",
      metadata: { module: "many", versions: "1, 2" },
    });
  });

  test("a module that a pipeline uses cannot go", async () => {
    expect(
      await refused("UnloadModule", encode(UnloadModuleRequestSchema, { reference: "program" })),
    ).toMatchObject({
      status: "FAILED_PRECONDITION",
      reason: "MODULE_IN_USE",
      metadata: { pipelines: "program" },
    });
  });
});

describe("requests", () => {
  test("a sample configuration that is no JSON, or too long", async () => {
    expect(await load(program, "good", { sampleConfigJson: "{" })).toMatchObject({
      status: "INVALID_ARGUMENT",
    });
    expect(await load(program, "good", { sampleConfigJson: `"${"x".repeat(2_000)}"` })).toMatchObject({
      status: "INVALID_ARGUMENT",
      message: expect.stringContaining("maxConfigBytes"),
    });
  });

  test("bytes that are no request are told as such", async () => {
    for (const method of ["LoadModule", "ListModules", "GetModule", "UnloadModule"]) {
      expect(await refused(method, Buffer.from([0x0a, 0xff]))).toMatchObject({
        status: "INVALID_ARGUMENT",
        reason: "REQUEST_MALFORMED",
      });
    }
  });

  test("an unknown method is UNIMPLEMENTED", async () => {
    const failure = await failureOf(kit.raw.call(`${path}/NoSuchMethod`, new Uint8Array(0)).response);
    expect(failure.status).toBe("UNIMPLEMENTED");
  });
});
