import { existsSync, readFileSync } from "node:fs";
import type { StreamResult, TransformResult } from "@leat/proto";
import { Isolation, Leat, OnFailure } from "@leat/sdk";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { resolveLimits } from "../../server/limits.ts";
import { BatchJob } from "../../server/pool/batch-job.ts";
import { startSupervised } from "../faults/supervised.ts";
import { failureOf } from "../kit/call-error.ts";
import { recordsAtWork } from "../kit/inventory.ts";
import { numbered, open, pipelineTarget, request, shapeOf, valuesOf } from "../kit/records.ts";
import { type StageInit, startTestServer, type TestServer } from "../kit/test-server.ts";
import { until } from "../kit/until.ts";
import { wat } from "../kit/wat.ts";
import { misbehavingModule } from "../modules/misbehaving.ts";

const apart = (module: string, more: Exclude<StageInit, string> = {}): StageInit => ({
  module,
  isolation: Isolation.PROCESS,
  ...more,
});

const when = {
  condition: { case: "header", value: { name: "run", match: { case: "exists", value: true } } },
} as const;

let kit: TestServer;

async function close(): Promise<void> {
  await kit[Symbol.asyncDispose]();
  await until(() => !process.getActiveResourcesInfo().includes("ProcessWrap"), "no process is left");
}

describe("a pipeline in a process of its own", () => {
  beforeAll(async () => {
    kit = await startTestServer({
      limits: {
        maxTableEntries: 10_000_000,
        maxInstanceHeapBytesPerWorker: 2 ** 31,
        maxRecordExecutionMs: 30_000,
        maxBatchExecutionMs: 30_000,
      },
      modules: { program: "program", marked: "marked", aborter: "aborter" },
      pipelines: {
        "program-apart": [apart("program"), "program"],
        "program-here": ["program", "program"],
        "picky-apart": [apart("program", { when }), "program"],
        "picky-here": [{ module: "program", when }, "program"],
        "marked-apart": [apart("marked", { limits: { recordTimeoutMs: 200 } })],
        "aborter-apart": [apart("aborter")],
        "letters-apart": [apart("program"), { module: "program", onFailure: OnFailure.DEAD_LETTER }],
      },
    });
  });

  afterEach(() => kit.idle());
  afterAll(close);

  test("answers as one in the server's threads does: what is split, dropped, failed and trapped", async () => {
    const values = ["abc", "2x1y", "x", "tq", "0", "", "ayz", "3ab", "at"];
    const here = await kit.raw.transform(request("program-here", ...values));
    const there = await kit.raw.transform(request("program-apart", ...values));
    expect(there).toEqual(here);
  });

  test("runs the records that a stage's condition matches, and counts the others", async () => {
    const values = ["abc", "2x1y", "x", "tq", "0", "3ab"];
    const records = values.map((value, index) => ({
      value: Buffer.from(value),
      headers: index % 2 === 0 ? [{ key: "run", value: Buffer.from("yes") }] : [],
    }));
    const [here, there] = await Promise.all(
      ["picky-here", "picky-apart"].map((name) =>
        kit.raw.transform({ target: pipelineTarget(name), batch: { records } }),
      ),
    );
    expect(there).toEqual(here);
    expect((await kit.pipelineMetrics("picky-apart")).stages[0]).toMatchObject({ recordsSkipped: 3n });
  });

  test("takes batches and gives results that fit no slot", async () => {
    const values = Array.from({ length: 300 }, (_, index) => `a${String(index).padEnd(2_000, "-")}`);
    const result = await kit.raw.transform(request("marked-apart", ...values));
    expect(valuesOf(result)).toEqual(values);
  });

  test("may fail more records than a batch may have, where they are parts of those that came", async () => {
    const values = new Array<string>(1_200).fill("9xxxxxxxxx");
    const { failures } = await kit.raw.transform(request("letters-apart", ...values));
    expect(failures).toHaveLength(9 * 1_200);
    expect(kit.server.stats.pool.stopped.size).toBe(0);
  });

  test("keeps a stream's order", async () => {
    const stream = kit.raw.stream();
    stream.write(open("marked-apart", { window: 32 }));
    for (let sequence = 1; sequence <= 200; sequence++) stream.write(numbered(sequence, `m${sequence}`));
    stream.halfClose();
    const results = (await stream.rest()).flatMap((message) =>
      message.case === "result" ? [[message.value.sequence, valuesOf(resultOf(message.value))]] : [],
    );
    expect(results).toEqual(
      Array.from({ length: 200 }, (_, index) => [BigInt(index + 1), [`m${index + 1}`]]),
    );
  });

  test("a record that runs too long fails alone: its process is ended, and another goes on", async () => {
    const result = await kit.raw.transform(request("marked-apart", "a", "~", "b", "#"));
    expect(shapeOf(result, 4)).toEqual({
      values: ["a", "b"],
      fanout: [1, 0, 1, 0],
      failures: ["1 timeout@marked", "3 timeout@marked"],
    });
  });

  test("a record that makes V8 abort fails alone, though its module names none, and the server stays", async () => {
    const result = await kit.raw.transform(request("aborter-apart", "a", "b!", "c"));
    expect(shapeOf(result, 3)).toEqual({
      values: ["a", "c"],
      fanout: [1, 0, 1],
      failures: ["1 worker_lost@aborter"],
    });
    expect(valuesOf(await kit.raw.transform(request("marked-apart", "still here")))).toEqual(["still here"]);
  });

  test("what waits behind a stuck batch comes back, and runs in another process", async () => {
    const stuck = kit.raw.transform(request("marked-apart", "~"));
    await until(() => recordsAtWork().includes(0), "a guest is stuck");
    const others = await Promise.all(
      Array.from({ length: 5 }, (_, index) => kit.raw.transform(request("marked-apart", `v${index}`))),
    );
    expect(others.flatMap(valuesOf)).toEqual(["v0", "v1", "v2", "v3", "v4"]);
    expect(shapeOf(await stuck, 1).failures).toEqual(["0 timeout@marked"]);
  });

  test("a call that is cancelled ends its process where the guest does not stop", async () => {
    const { response, cancel } = kit.raw.begin(request("marked-apart", "!"));
    await until(() => recordsAtWork().length > 0, "a guest loops");
    cancel();
    await expect(response).rejects.toThrow();
    expect(valuesOf(await kit.raw.transform(request("marked-apart", "after")))).toEqual(["after"]);
  });

  test("goes on with another revision, and its process ends with the pipeline", async () => {
    await kit.put("marked-apart", [apart("marked"), "program"]);
    expect(valuesOf(await kit.raw.transform(request("marked-apart", "av")))).toEqual(["v"]);
    await kit.leat.pipelines.deletePipeline({ name: "marked-apart" });
    const refused = await failureOf(kit.raw.transform(request("marked-apart", "av")));
    expect(refused.reason).toBe("PIPELINE_NOT_FOUND");
  });

  test("its processes are among the figures", async () => {
    await kit.raw.transform(request("program-apart", "a"));
    await kit.metrics();
    expect(kit.server.stats.pool.processes).toBeGreaterThan(0);
  });
});

describe("where one pipeline may have a process", () => {
  beforeAll(async () => {
    kit = await startTestServer({
      limits: { maxIsolatedPipelines: 1, maxRecordExecutionMs: 600_000, maxBatchExecutionMs: 600_000 },
      modules: { marked: "marked" },
      pipelines: { one: [apart("marked")], two: [apart("marked")] },
    });
  });

  afterEach(() => kit.idle());
  afterAll(close);

  test("no more pipelines have a process than may: one that rests gives way, one that works does not", async () => {
    expect(valuesOf(await kit.raw.transform(request("one", "a")))).toEqual(["a"]);
    const held = await kit.hold("two");
    expect(await failureOf(kit.raw.transform(request("one", "a")))).toMatchObject({
      reason: "ISOLATION_FULL",
      metadata: { limit: "maxIsolatedPipelines", value: "1", measured: "2" },
    });
    await held.release();
  });

  test("an open stream keeps nothing of the batches that were refused at once", async () => {
    const held = await kit.hold("two");
    const stream = kit.raw.stream();
    stream.write(open("one"));
    expect((await stream.next())?.case).toBe("opened");
    for (let sequence = 1; sequence <= 3; sequence++) {
      stream.write(numbered(sequence, "a"));
      const answer = await stream.next();
      expect(answer).toMatchObject({ value: { outcome: { value: { reason: "ISOLATION_FULL" } } } });
    }
    // What a stream still has when it ends, it cancels.
    using cancel = vi.spyOn(BatchJob.prototype, "cancel");
    stream.cancel();
    await until(() => kit.server.stats.admission.streams === 0, "the stream is closed");
    expect(cancel).not.toHaveBeenCalled();
    await held.release();
  });
});

describe("a server whose modules all run in processes", () => {
  beforeAll(async () => {
    kit = await startTestServer({ server: { isolation: "process" }, modules: { marked: "marked" } });
  });

  afterAll(close);

  test("serves pipelines and inline chains", async () => {
    expect(valuesOf(await kit.raw.transform(request("marked", "a", "b")))).toEqual(["a", "b"]);
  });

  test("tells them limits that change, and takes what they make of these", async () => {
    await kit.load("log-flood", await misbehavingModule("log-flood"));
    await kit.load("program", "program");
    await kit.put("log-flood", ["log-flood"]);
    await kit.put("kept", [{ module: "program", onFailure: OnFailure.DEAD_LETTER }]);
    const limits = resolveLimits({
      maxWorkers: 1,
      maxBatchRecords: 30_000,
      maxFailureTextBytes: 2_048,
      maxLogLinesPerSecond: 1,
      maxStageLogLinesPerSecond: 1,
    });
    const signatures = { mode: "off", keysFile: undefined } as const;
    await kit.server.reconfigure({ limits, logLevel: "error", sampleRatio: 1, signatures });
    const { failures } = await kit.raw.transform(request("kept", ...new Array<string>(12_000).fill("x")));
    expect(failures).toHaveLength(12_000);
    await kit.raw.transform(request("log-flood", "a"));
    const [stage] = (await kit.pipelineMetrics("log-flood")).stages;
    expect(Number(stage?.logLines)).toBeLessThanOrEqual(2);
    expect(kit.server.stats.pool.stopped.size).toBe(0);
  });

  test("leaves it to them to compile, and says what V8 says", async () => {
    const wasm = wat(`(module (memory (export "memory") 1)
      (func (export "leat_alloc") (param i32) (result i32) (i32.const 0))
      (func (export "leat_transform") (param i32 i32) (result i64) (i64.const 0)))`);
    // The last constant's opcode becomes that of an i32, which is not what the function returns.
    const at = wasm.lastIndexOf(0x42);
    wasm[at] = 0x41;
    await expect(kit.load("broken", wasm)).rejects.toMatchObject({ reason: "MODULE_COMPILE_FAILED" });
  });
});

function resultOf({ outcome }: StreamResult): TransformResult {
  if (outcome.case !== "result") throw new Error("a batch without a result");
  return outcome.value;
}

test.runIf(existsSync("/proc/self/task"))(
  "a server that is killed leaves none of its processes behind",
  async () => {
    await using server = await startSupervised({
      modules: { marked: "marked" },
      pipelines: "name: apart\nstages:\n  - module: marked\n    isolation: process\n",
    });
    await using leat = new Leat(server.serve.address);
    await leat.transform("apart", [{ value: "a" }]);
    const pid = server.pid() ?? 0;
    const processes = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
    expect(processes.length).toBeGreaterThan(0);
    // One of them is in a loop that does not end.
    void leat.transform("apart", [{ value: "~" }]).catch(() => undefined);
    process.kill(pid, "SIGKILL");
    await until(() => processes.every((each) => !existsSync(`/proc/${each}`)), "they are gone");
  },
);
