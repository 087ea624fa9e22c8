import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { sizeDelimitedDecodeStream, sizeDelimitedEncode } from "@bufbuild/protobuf/wire";
import { type Record, RecordSchema } from "@leat/proto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { callCommand } from "../../test/kit/call-command.ts";
import {
  type CommandOptions,
  type CommandResult,
  lean,
  runCommand,
  type ServeProcess,
  startCommand,
  startServe,
} from "../../test/kit/leat-command.ts";
import { moduleBytes } from "../../test/kit/modules.ts";

let folder: string;
let server: ServeProcess;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "leat-transform-"));
  const modules = join(folder, "modules");
  await mkdir(modules);
  await writeFile(join(modules, "program.wasm"), await moduleBytes("program"));
  await writeFile(join(modules, "uppercase.wasm"), await moduleBytes("uppercase"));
  await writeFile(
    join(folder, "two.yaml"),
    "name: two\nstages:\n  - module: program\n  - module: uppercase\n",
  );
  server = await startServe([
    ...lean,
    "--modules",
    modules,
    "--pipelines",
    join(folder, "two.yaml"),
    "--log-level",
    "warn",
  ]);
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

function transform(
  words: string,
  input?: CommandOptions["input"],
  env: CommandOptions["env"] = {},
): Promise<CommandResult> {
  const args = ["transform", ...words.split(" ")];
  const options = { cwd: folder, env: { LEAT_ADDRESS: server.address, ...env } };
  // What is read piece by piece takes a pipe.
  if (input instanceof Readable) return runCommand(args, { ...options, input });
  return callCommand(args, { ...options, ...(input !== undefined && { input }) });
}

/** The failures that a command has told. */
function failuresIn(ndjson: string): unknown[] {
  return ndjson.split("\n").flatMap((line) => (line === "" ? [] : [JSON.parse(line)]));
}

describe("leat transform", () => {
  test("runs the lines of stdin through a pipeline, in order", async () => {
    // The program of each line gives one record, which goes on with what follows its first character.
    const run = await transform("--pipeline two --format lines", "-a\n-b\n-c");
    expect(run).toMatchObject({ code: 0, stdout: "A\nB\nC\n", stderr: "" });
  });

  test("runs files one after the other, and stdin where it stands among them", async () => {
    await writeFile(join(folder, "1.txt"), "one\n");
    await writeFile(join(folder, "2.txt"), "two");
    const run = await transform("--module uppercase --format lines 2.txt - 1.txt", "three\n");
    expect(run).toMatchObject({ code: 0, stdout: "TWO\nTHREE\nONE\n", stderr: "" });
  });

  test("chains modules without a pipeline, splits records and drops them", async () => {
    const run = await transform("-m program -m uppercase --format lines", "2ab\n0\n-c\n");
    expect(run).toMatchObject({ code: 0, stdout: "AB\nB\nC\n", stderr: "" });
  });

  test("reads and writes NDJSON unless told otherwise", async () => {
    const run = await transform("-m uppercase", '{"a": "b"}\n\n[1]\n');
    expect(run).toMatchObject({ code: 0, stdout: '{"A": "B"}\n[1]\n', stderr: "" });
  });

  test("tells each failure with its file and line on stderr, writes the rest, and exits with 1", async () => {
    await writeFile(join(folder, "dirty.txt"), "-a\nx!\n\n-b\ny?\n");
    const run = await transform("-p two --format lines dirty.txt");
    expect(run).toMatchObject({ code: 1, stdout: "A\n\nB\n" });
    const common = { file: "dirty.txt", stage: "program", attempts: 1 };
    expect(failuresIn(run.stderr)).toEqual([
      { ...common, line: 2, code: "refused", message: "asked to", retryable: false, input: "x!" },
      { ...common, line: 5, code: "later", message: "not yet!", retryable: true, input: "y?" },
    ]);
  });

  test("writes failures to a file, of records that were never sent as well", async () => {
    const run = await transform("-m uppercase --failures bad.ndjson", '{"a":1}\nnot json\n');
    expect(run).toMatchObject({ code: 1, stdout: '{"A":1}\n' });
    expect(run.stderr).toBe("leat: 1 of 2 records failed; bad.ndjson says why\n");
    expect(failuresIn(await readFile(join(folder, "bad.ndjson"), "utf8"))).toMatchObject([
      { file: "-", line: 2, code: "not_json", stage: "", attempts: 0, input: "not json" },
    ]);
  });

  test("fails an output that its format cannot hold", async () => {
    const run = await transform("-m uppercase --format lines --output-format ndjson", "1\nword\n");
    expect(run).toMatchObject({ code: 1, stdout: "1\n" });
    expect(failuresIn(run.stderr)).toMatchObject([{ line: 2, code: "not_json" }]);
  });

  test("keeps keys, headers, times and tombstones in the binary format", async () => {
    const records: MessageInitShape<typeof RecordSchema>[] = [
      { key: Uint8Array.of(1), value: Buffer.from("a\n"), timestampMs: 5n },
      { headers: [{ key: "h", value: Uint8Array.of(2) }] },
    ];
    const input = Buffer.concat(
      records.map((init) => sizeDelimitedEncode(RecordSchema, create(RecordSchema, init))),
    );
    const run = await transform("-m uppercase --format binary", input);
    expect(run).toMatchObject({ code: 0, stderr: "" });
    const back: Record[] = [];
    for await (const record of sizeDelimitedDecodeStream(RecordSchema, Readable.from([run.bytes])))
      back.push(record);
    expect(back[0]).toMatchObject({ key: Uint8Array.of(1), timestampMs: 5n });
    expect(Buffer.from(back[0]?.value ?? []).toString()).toBe("A\n");
    expect(back[1]?.value).toBeUndefined();
    expect(back[1]?.headers).toMatchObject([{ key: "h" }]);
  });

  test("stops at binary input that ends within a record, after what came before", async () => {
    const whole = sizeDelimitedEncode(RecordSchema, create(RecordSchema, { value: Buffer.from("a") }));
    const run = await transform(
      "-m uppercase --format binary --output-format lines",
      Buffer.concat([whole, whole.subarray(0, 2)]),
    );
    expect(run).toMatchObject({ code: 1, stdout: "A\n" });
    expect(run.stderr).toBe("leat: -: the input ends within record 2: 2 of 4 bytes\n");
  });

  test("passes over a line that is longer than a batch can be", async () => {
    const run = await transform("-m uppercase --format lines", `a\n${"x".repeat(5 * 1024 ** 2)}\nb\n`);
    expect(run).toMatchObject({ code: 1, stdout: "A\nB\n" });
    expect(failuresIn(run.stderr)).toMatchObject([{ line: 2, code: "record_too_large" }]);
  });

  test("tells a wrong target and a missing file before it reads anything", async () => {
    const target = await transform("-p nowhere", "{}");
    expect(target).toMatchObject({ code: 1, stdout: "" });
    expect(target.stderr).toMatch(/^leat: PIPELINE_NOT_FOUND: .*"leat pipeline list"/);
    const file = await transform("-p two one.txt nowhere.txt", "{}");
    expect(file).toMatchObject({ code: 1, stdout: "" });
    expect(file.stderr).toMatch(/^leat: ENOENT/);
  });

  test("answers a slow producer at once, and ends quietly when its reader has gone", async () => {
    const child = startCommand(["transform", "-m", "uppercase", "--format", "lines"], {
      input: "",
      env: { LEAT_ADDRESS: server.address },
    });
    let stderr = "";
    child.stderr?.on("data", (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    child.stdin?.on("error", () => {});
    child.stdin?.write("first\n");
    const [first] = await (child.stdout as Readable).take(1).toArray();
    expect(String(first)).toBe("FIRST\n");
    // `take` has closed the reading end: what comes now meets a broken pipe.
    child.stdin?.write("second\n");
    const code = await new Promise((resolve) => child.once("close", resolve));
    expect([code, stderr]).toEqual([0, ""]);
  });

  test("takes no more memory for three times the input", async () => {
    const small = await peakMiB(30);
    const large = await peakMiB(100);
    // 67 MiB more went through.
    expect(large - small).toBeLessThan(30);
  });
});

const block = Buffer.from(`${"m".repeat(250)}\n`.repeat(4_000));

/** The most memory that the command takes for so many megabytes. */
async function peakMiB(blocks: number): Promise<number> {
  const report = join(folder, "peak");
  const onExit = `import { writeFileSync } from "node:fs";
    process.on("exit", () => writeFileSync(${JSON.stringify(report)}, String(process.resourceUsage().maxRSS)));`;
  function* megabytes(): Generator<Buffer> {
    for (let sent = 0; sent < blocks; sent++) yield block;
  }
  const run = await transform("-m uppercase --format lines", Readable.from(megabytes()), {
    // With a small young generation V8 has all the heap that it wants after a few megabytes.
    NODE_OPTIONS: `--max-semi-space-size=1 --import=data:text/javascript,${encodeURIComponent(onExit)}`,
  });
  expect(run).toMatchObject({ code: 0, stderr: "" });
  expect(run.bytes.length).toBe(blocks * block.length);
  return Number(await readFile(report, "utf8")) / 1024;
}
