import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { BuildError, buildModule } from "./build.ts";
import { LocalHost } from "./local-host.ts";

// Optimising is most of what a compilation costs. The command's test compiles with it, in a process of its own.
vi.mock("assemblyscript/asc", async (importOriginal) => {
  const { main } = await importOriginal<typeof import("assemblyscript/asc")>();
  const quick: typeof main = (args, surroundings) => {
    const optimising = ["-O3", "--converge"];
    for (const arg of optimising) expect(args).toContain(arg);
    return main(
      args.filter((arg) => !optimising.includes(arg)),
      surroundings,
    );
  };
  return { main: quick };
});

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "leat-kit-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function source(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

const imports = 'import { Config, Out, Record } from "@leat/assemblyscript";\n';

async function readmeSource(): Promise<string> {
  const readme = await readFile(new URL("./README.md", import.meta.url), "utf8");
  return readme.split("```ts\n")[1]?.split("```")[0] ?? "";
}

/** Expects a module to do what the README says of its own. */
async function expectReadmeModule(file: string): Promise<void> {
  const host = await LocalHost.start(file, { config: { suffix: "?" } });
  const utf8 = (text: string) => new TextEncoder().encode(text);
  const result = host.transform([
    { value: utf8("hello") },
    {},
    { value: utf8("psst"), headers: [{ key: "quiet" }] },
    { value: utf8("x".repeat(1_001)) },
  ]);
  expect(result.fanout).toEqual([1, 0, 1, 0]);
  expect(result.batch?.records.map(({ value }) => new TextDecoder().decode(value))).toEqual([
    "HELLO?",
    "psst",
  ]);
  expect(result.failures.map(({ code }) => code)).toEqual(["too_long"]);
}

describe("buildModule", () => {
  test("builds the module of the README, far from any node_modules, and it does what is said there", async () => {
    const entry = await source("shout.ts", await readmeSource());
    const outFile = join(folder, "out/shout.wasm");
    const { warnings } = await buildModule({ entry, outFile });
    expect(warnings).toBe("");
    expect(await readdir(join(folder, "out"))).toEqual(["shout.wasm"]);
    await expectReadmeModule(outFile);
  });

  test("builds without SIMD and without names", async () => {
    const entry = await source(
      "plain.ts",
      `${imports}export function transform(record: Record, out: Out): void { record.value.upperTo(out.map(record, record.value.length)); }`,
    );
    const textFile = join(folder, "plain.wat");
    const { wasm } = await buildModule({ entry, simd: false, names: false, textFile });
    expect(await readFile(textFile, "utf8")).not.toContain("v128");
    expect(
      WebAssembly.Module.customSections(await WebAssembly.compile(new Uint8Array(wasm)), "name"),
    ).toEqual([]);
    const host = await LocalHost.start(wasm);
    const value = new TextEncoder().encode("äbcdefghijklmnopqrstuvwxyz{`@[");
    expect(host.transform([{ value }]).batch?.records[0]?.value).toEqual(
      new TextEncoder().encode("äBCDEFGHIJKLMNOPQRSTUVWXYZ{`@["),
    );
  });

  test("writes a source map that names the author's file", async () => {
    const entry = await source(
      "mapped.ts",
      `${imports}export function transform(record: Record, out: Out): void { out.pass(record); }`,
    );
    const outFile = join(folder, "mapped.wasm");
    await buildModule({ entry, outFile, sourceMap: true });
    expect(JSON.parse(await readFile(`${outFile}.map`, "utf8")).sources).toContain("mapped.ts");
  });

  test("puts a schema of the configuration into the module", async () => {
    const entry = await source(
      "schema.ts",
      `${imports}export function transform(record: Record, out: Out): void { out.pass(record); }`,
    );
    const configSchema = await source(
      "config.schema.json",
      `{"type":"object","description":"${"a".repeat(200)}"}`,
    );
    const { wasm } = await buildModule({ entry, configSchema });
    const module = await WebAssembly.compile(new Uint8Array(wasm));
    const [section] = WebAssembly.Module.customSections(module, "leat_config_schema");
    expect(new TextDecoder().decode(section)).toBe(await readFile(configSchema, "utf8"));
    await expect(buildModule({ entry, configSchema: entry })).rejects.toThrow(/schema\.ts is not JSON/);
  });

  test("a module without configure refuses every key", async () => {
    const entry = await source(
      "bare.ts",
      `${imports}export function transform(record: Record, out: Out): void { out.pass(record); }`,
    );
    const { wasm } = await buildModule({ entry });
    await expect(LocalHost.start(wasm, { config: { a: 1 } })).rejects.toThrow(
      "'a' is no key of this module's configuration; there are none",
    );
  });

  test.each([
    [
      "a mistake",
      `${imports}export function transform(record: Record, out: Out): void { out.nothing(); }`,
      "nothing",
    ],
    [
      "a missing transform",
      `${imports}export function convert(record: Record, out: Out): void {}`,
      "transform",
    ],
    [
      "a transform of another form",
      `${imports}export function transform(record: Record): void {}`,
      "Expected 1 arguments, but got 2",
    ],
    [
      "an import that no host gives",
      `${imports}export function transform(record: Record, out: Out): void { out.text(record, Date.now().toString()); }`,
      "env.Date.now, which no host of guest ABI 1 gives",
    ],
  ])("%s is reported", async (_name, text, message) => {
    const entry = await source("wrong.ts", text);
    const outFile = join(folder, "wrong.wasm");
    const error = await buildModule({ entry, outFile }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(BuildError);
    expect(String(error)).toContain(message);
    expect(String(error)).toContain("wrong.ts");
    expect(await readdir(folder)).not.toContain("wrong.wasm");
  });

  test("a file that is not there is reported", async () => {
    await expect(buildModule({ entry: join(folder, "none.ts") })).rejects.toThrow("none");
  });
});

describe("leat-asc", () => {
  const command = fileURLToPath(new URL("./leat-asc.ts", import.meta.url));
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [command, ...args], { cwd: folder, encoding: "utf8" });

  test("compiles a file", async () => {
    await mkdir(join(folder, "cli"), { recursive: true });
    await source("cli/shout.ts", await readmeSource());
    const { status, stdout, stderr } = run("cli/shout.ts", "-o", "cli/shout.wasm");
    expect([status, stdout]).toEqual([0, ""]);
    expect(stderr).toMatch(/^cli\/shout\.wasm: \d+ bytes\n$/);
    await expectReadmeModule(join(folder, "cli/shout.wasm"));
  });

  test("tells usage from failure", async () => {
    await source("bad.ts", "export function");
    expect(run("--help")).toMatchObject({ status: 0, stderr: "" });
    expect(run("--help").stdout).toContain("Usage: leat-asc");
    for (const args of [[], ["a.ts"], ["a.ts", "b.ts", "-o", "c"], ["a.ts", "-o", "b", "--fast"]]) {
      const { status, stdout, stderr } = run(...args);
      expect([status, stdout]).toEqual([2, ""]);
      expect(stderr).toContain("Usage: leat-asc");
    }
    const { status, stderr } = run("bad.ts", "-o", "bad.wasm");
    expect(status).toBe(1);
    expect(stderr).toMatch(/^leat-asc: .*bad\.ts does not compile/);
  });
});
