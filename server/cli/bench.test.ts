import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type CommandResult,
  lean,
  runCommand,
  type ServeProcess,
  startServe,
} from "../../test/kit/leat-command.ts";
import { moduleBytes } from "../../test/kit/modules.ts";

let folder: string;
let server: ServeProcess;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "leat-bench-"));
  await writeFile(join(folder, "program.wasm"), await moduleBytes("program"));
  await writeFile(join(folder, "lines.txt"), "-a\nx\n");
  server = await startServe([...lean, "--modules", folder, "--log-level", "warn"]);
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

function bench(words: string): Promise<CommandResult> {
  const short = ["--duration", "300ms", "--warm-up", "50ms"];
  const env = { LEAT_ADDRESS: server.address };
  return runCommand(["bench", "-m", "program", ...short, ...words.split(" ")], { cwd: folder, env });
}

describe("leat bench", () => {
  test("measures streams, and counts what failed", async () => {
    const run = await bench("--streams 2 --window 4 --batch-records 10 --input lines.txt --json");
    expect(run).toMatchObject({ code: 0, stderr: "" });
    const report = JSON.parse(run.stdout);
    expect(report).toMatchObject({ target: "program", mode: "stream", clients: 2, window: 4, callErrors: 0 });
    expect(report.batches).toBeGreaterThan(0);
    expect(report.records).toBe(report.batches * 10);
    expect(report.recordsFailed).toBe(report.batches * 5);
    expect(report.recordsOut).toBe(report.batches * 5);
    const { p50, p90, p99, p999, max } = report.latencyMs;
    expect(p50).toBeGreaterThan(0);
    expect([p50, p90, p99, p999, max]).toEqual([p50, p90, p99, p999, max].toSorted((a, b) => a - b));
  });

  test("measures unary callers, and reports to people", async () => {
    const run = await bench("--callers 4 --batch-records 1 --record-bytes 1KiB");
    expect(run).toMatchObject({ code: 0, stderr: "" });
    expect(run.stdout).toMatch(/^load: +4 unary callers, 1 records a batch \(1\.0 KiB\)$/m);
    expect(run.stdout).toMatch(
      /^latency: +p50 [\d.]+ ms, p90 [\d.]+ ms, p99 [\d.]+ ms, p99\.9 [\d.]+ ms, max/m,
    );
    expect(run.stdout).toMatch(/^failed: +0 records, 0 batches as a whole$/m);
  });
});
