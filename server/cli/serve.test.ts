import { existsSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { createGrpcTransport, createLeatClients, Leat, type StreamTransformRequestSchema } from "@leat/sdk";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { callCommand } from "../../test/kit/call-command.ts";
import { HealthWatch } from "../../test/kit/health.ts";
import {
  type CommandOptions,
  lean,
  runCommand,
  type ServeProcess,
  startServe,
} from "../../test/kit/leat-command.ts";
import { moduleBytes } from "../../test/kit/modules.ts";
import { until } from "../../test/kit/until.ts";

let folder: string;
let modules: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "leat-serve-"));
  modules = join(folder, "modules");
  await mkdir(modules);
  await writeFile(join(modules, "marked@1.9.0.wasm"), await moduleBytes("marked"));
  await writeFile(join(modules, "marked@1.10.0.wasm"), await moduleBytes("program"));
  await writeFile(join(modules, "busy.wasm"), await moduleBytes("marked"));
  await writeFile(
    join(folder, "pipelines.yaml"),
    "pipelines:\n  - name: work\n    stages:\n      - module: busy\n",
  );
});

afterAll(() => rm(folder, { recursive: true, force: true }));

function serve(options: CommandOptions = {}, ...more: readonly string[]): Promise<ServeProcess> {
  const given = ["--modules", modules, "--pipelines", join(folder, "pipelines.yaml"), ...lean];
  // Far above what any machine needs for the busy record.
  const patience = ["--limit", "maxRecordExecutionMs=60s", "--limit", "maxBatchExecutionMs=60s"];
  return startServe([...given, ...patience, "--log-level", "warn", ...more], options);
}

/** A record that keeps its worker busy for about a second: counting down takes a nanosecond or so a step. */
const busyRecord = { value: Uint8Array.of("&".charCodeAt(0), 0, 0, 0, 0x40) };

/** Resolves once the server works on as many batches. */
async function working(leat: Leat, batches: number): Promise<void> {
  await until(async () => {
    const { snapshot } = await leat.metrics.metrics({});
    return Number(snapshot?.admission?.batches ?? 0) === batches;
  }, `${batches} batches are admitted`);
}

describe("a server that leat serve has started", () => {
  let server: ServeProcess;

  beforeAll(async () => {
    server = await serve();
  });

  afterAll(() => server[Symbol.asyncDispose]());

  test("loads its modules, the highest version last, and its pipelines before it takes calls", async () => {
    await using leat = new Leat(server.address);
    const { modules } = await leat.modules.listModules({ name: "marked" });
    expect(modules.map(({ version, active }) => [version, active])).toEqual([
      ["1.9.0", false],
      ["1.10.0", true],
    ]);
    const { pipelines } = await leat.pipelines.listPipelines({});
    expect(pipelines.map(({ name }) => name)).toEqual(["work"]);
    expect((await fetch(`${server.url}/readyz`)).status).toBe(200);
  });

  test.skipIf(!existsSync("/proc/self/cmdline"))("gives V8 its first heap", async () => {
    const children = readFileSync(`/proc/${server.child.pid}/task/${server.child.pid}/children`, "utf8");
    const command = readFileSync(`/proc/${children.split(" ")[0]}/cmdline`, "utf8").split("\0");
    expect(command).toContain("--initial-old-space-size=1024");
  });

  test("lets no other have its port", async () => {
    const second = await callCommand([
      "serve",
      ...lean,
      "--grpc-address",
      server.address,
      "--http-address",
      "false",
    ]);
    expect(second.code).toBe(1);
    expect(second.stderr).toMatch(/^leat: .*EADDRINUSE.*\n$/m);
  });
});

describe("leat serve", () => {
  test("finishes the stream in flight on SIGTERM, says NOT_SERVING meanwhile, and exits with 0", async () => {
    await using server = await serve();
    await using leat = new Leat(server.address);
    using transport = createGrpcTransport({ address: server.address });
    const health = new HealthWatch(transport);
    const messages = openStream(transport);
    await working(leat, 1);
    await health.says("SERVING");

    server.child.kill("SIGTERM");
    await health.says("NOT_SERVING");
    health.close();

    expect(await messages).toEqual(["opened", "draining after 1", "result 1 with 1 record"]);
    expect(await server.ended).toBe(0);
  });

  test("finishes a call in flight when a terminal interrupts all of its processes, and refuses what comes after", async () => {
    await using server = await serve({ detached: true }, "--standby", "true");
    await using leat = new Leat(server.address);
    const result = leat.transform("work", [busyRecord]);
    await working(leat, 1);
    process.kill(-Number(server.child.pid), "SIGINT");
    expect((await result).records).toHaveLength(1);
    expect(await server.ended).toBe(0);
    await expect(leat.transform("work", [{ value: "a" }])).rejects.toThrow();
  });

  test("ends at once on a second signal, with exit code 1", async () => {
    await using server = await serve();
    await using leat = new Leat(server.address);
    const failed = expect(leat.transform("work", [{ value: "!" }])).rejects.toThrow();
    await working(leat, 1);
    using transport = createGrpcTransport({ address: server.address });
    const health = new HealthWatch(transport);
    await health.says("SERVING");
    server.child.kill("SIGTERM");
    await health.says("NOT_SERVING");
    server.child.kill("SIGTERM");
    expect(await server.ended).toBe(1);
    health.close();
    await failed;
  });

  test("ends its server process when the launcher is killed", async () => {
    await using server = await serve();
    server.child.kill("SIGKILL");
    await until(async () => {
      try {
        await fetch(`${server.url}/healthz`);
        return false;
      } catch {
        return true;
      }
    }, "the server process has ended");
    // The pipe to it closes with the last process that holds it.
    await server.ended;
  });
});

describe("leat serve refuses to start", () => {
  test("with a module that it cannot load, which it names", async () => {
    const bad = join(folder, "bad");
    await mkdir(bad);
    await writeFile(join(bad, "broken@2.wasm"), "not wasm");
    const run = await callCommand(["serve", ...lean, "--modules", bad]);
    expect(run.code).toBe(1);
    expect(run.stderr).toMatch(
      /^leat: MODULE_NOT_WASM: .*broken@2\.wasm; the server does not start without it/m,
    );
  });

  test("with a pipeline of a module that is not there", async () => {
    const file = join(folder, "lost.yaml");
    await writeFile(file, "name: lost\nstages:\n  - module: nowhere\n");
    const run = await callCommand(["serve", ...lean, "--pipelines", file, "--grpc-address", "127.0.0.1:0"]);
    expect(run.code).toBe(1);
    expect(run.stderr).toMatch(/^leat: MODULE_NOT_FOUND: .*nowhere.*lost\.yaml: pipeline lost/m);
  });

  test("with mistakes in a flag, a limit, a variable and leat.yaml, all of which it names, with exit code 2", async () => {
    const cwd = await mkdtemp(join(folder, "config-"));
    await writeFile(join(cwd, "leat.yaml"), "grpc:\n  adress: here\n");
    const args = ["serve", "--workers", "0", "--limit", "maxBatchByte=1"];
    const run = await runCommand(args, { cwd, env: { LEAT_LOG_LEVEL: "loud" } });
    expect(run.stderr).toMatch(/^leat: --workers: workers: .*0/m);
    expect(run.stderr).toMatch(/limits\.maxBatchByte: .*maxBatchBytes/);
    expect(run.stderr).toMatch(/^leat: LEAT_LOG_LEVEL: log\.level: .*"loud"/m);
    expect(run.stderr).toMatch(/^leat: leat\.yaml:2:\d+: grpc\.adress: .*address/m);
    expect(run.code).toBe(2);
  });

  test("with a folder of modules that is not there, with exit code 2", async () => {
    const run = await runCommand(["serve", "--modules", "nowhere"], { cwd: folder });
    expect(run.stderr).toMatch(/^leat: modules: .*nowhere cannot be read/m);
    expect(run.code).toBe(2);
  });

  test("with a limit without a value, with exit code 2", async () => {
    const run = await callCommand(["serve", "--limit", "maxBatchBytes"], { cwd: folder });
    expect(run.stderr).toMatch(/--limit maxBatchBytes: write NAME=VALUE/);
    expect(run.code).toBe(2);
  });
});

/** Opens a stream with one batch, and says what comes until it ends well. */
async function openStream(transport: ReturnType<typeof createGrpcTransport>): Promise<string[]> {
  const { transforms } = createLeatClients(transport);
  const target = { target: { case: "pipeline", value: "work" } } as const;
  const open = new AbortController();
  async function* requests(): AsyncGenerator<MessageInitShape<typeof StreamTransformRequestSchema>> {
    yield { message: { case: "open", value: { target, streamId: "s" } } };
    yield { message: { case: "batch", value: { sequence: 1n, batch: { records: [busyRecord] } } } };
    // The producer has more to send: only the server ends this stream.
    await new Promise((resolve) => open.signal.addEventListener("abort", resolve));
  }
  const said: string[] = [];
  for await (const { message } of transforms.streamTransform(requests())) {
    if (message.case === "opened") said.push("opened");
    if (message.case === "draining") said.push(`draining after ${message.value.lastSequence}`);
    if (message.case === "result" && message.value.outcome.case === "result") {
      const count = message.value.outcome.value.batch?.records.length;
      said.push(`result ${message.value.sequence} with ${count} record`);
    }
  }
  open.abort();
  return said;
}
