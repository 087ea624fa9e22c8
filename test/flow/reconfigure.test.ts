import { Isolation } from "@leat/proto";
import { text } from "@leat/sdk";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Limits, resolveLimits } from "../../server/limits.ts";
import { moduleBytes } from "../kit/modules.ts";
import { batchOf, inlineTarget, numbered, open, request, valuesOf } from "../kit/records.ts";
import { holdingLimits, startTestServer, type TestServer } from "../kit/test-server.ts";
import { until } from "../kit/until.ts";

const signatures = { mode: "off", keysFile: undefined } as const;

let kit: TestServer;
let limits: Partial<Limits>;

beforeEach(async () => {
  limits = { ...holdingLimits, maxSpareWorkers: 0 };
  kit = await startTestServer({
    limits,
    modules: { marked: "marked", program: "program" },
  });
});

afterEach(async () => {
  await kit[Symbol.asyncDispose]();
});

/** Puts limits in force that differ from those at the start. */
async function change(to: Partial<Limits>): Promise<void> {
  const next = resolveLimits({ ...limits, ...to });
  await kit.server.reconfigure({ limits: next, logLevel: "error", sampleRatio: 1, signatures });
  limits = next;
}

/** The worker threads that run batches. */
async function workers(): Promise<number> {
  return (await kit.metrics()).pool?.workers ?? 0;
}

describe("the number of workers", () => {
  test("grows and shrinks under a stream, which loses nothing and keeps its order", async () => {
    let sent = 0;
    let ended = false;
    async function* source(): AsyncGenerator<string> {
      while (!ended) {
        yield String(sent++);
        if (sent % 200 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
    }
    const got: string[] = [];
    const reading = (async () => {
      for await (const { outputs } of kit.leat.stream("marked", source(), {
        codec: text(),
        batchRecords: 50,
      }))
        got.push(...outputs);
    })();
    const answered = async (more: number): Promise<void> => {
      const wanted = got.length + more;
      await until(() => got.length >= wanted, "the stream goes on");
    };
    await answered(500);
    for (const count of [3, 1, 2, 1]) {
      await change({ maxWorkers: count });
      await until(async () => (await workers()) === count, `${count} workers run`);
      await answered(500);
    }
    ended = true;
    await reading;
    expect(got).toEqual(Array.from({ length: sent }, (_, number) => String(number)));
    expect(kit.server.stats.pool.stopped.size).toBe(0);
  });

  test("shrinks without an end to what runs: a worker that is too many finishes its batch first", async () => {
    await change({ maxWorkers: 2 });
    await until(async () => (await workers()) === 2, "2 workers run");
    const held = [await kit.hold(), await kit.hold()];
    await until(async () => (await kit.metrics()).pool?.busy === 2, "both are busy");
    await change({ maxWorkers: 1 });
    const waiting = kit.raw.transform(request("marked", "later"));
    await until(() => kit.server.stats.admission.batches === 3, "the batch waits behind both");
    for (const each of held) await each.release();
    expect(valuesOf(await waiting)).toEqual(["later"]);
    expect(await workers()).toBe(1);
    expect(kit.server.stats.pool.stopped.size).toBe(0);
  });

  test("gives a worker back that was about to leave", async () => {
    await change({ maxWorkers: 2 });
    await until(async () => (await workers()) === 2, "2 workers run");
    const held = [await kit.hold(), await kit.hold()];
    await until(async () => (await kit.metrics()).pool?.busy === 2, "both are busy");
    await change({ maxWorkers: 1 });
    expect(await workers()).toBe(1);
    await change({ maxWorkers: 2 });
    expect(await workers()).toBe(2);
    for (const each of held) await each.release();
    expect(valuesOf(await kit.raw.transform(request("marked", "a")))).toEqual(["a"]);
  });
});

describe("limits", () => {
  const twenty = new Array(20).fill("m");

  test("hold for what comes after the change; a batch that waits keeps those it came under", async () => {
    const held = await kit.hold();
    const waiting = kit.raw.transform(request("marked", ...twenty));
    await until(() => kit.server.stats.admission.batches === 2, "the batch waits");
    await change({ maxBatchRecords: 10 });
    const refused = kit.leat.transform(
      "marked",
      twenty.map((value) => ({ value })),
    );
    await expect(refused).rejects.toMatchObject({
      reason: "BATCH_TOO_MANY_RECORDS",
      metadata: { limit: "maxBatchRecords", value: "10", measured: "20" },
    });
    await held.release();
    expect(valuesOf(await waiting)).toEqual(twenty);
  });

  test("hold from the next batch of an open stream on, but for the window and the size that it was told", async () => {
    const stream = kit.raw.stream();
    stream.write(open("marked"));
    const opened = await stream.next();
    if (opened?.case !== "opened") throw new Error("not opened");
    await change({ maxBatchRecords: 10, maxBatchBytes: 100, maxStreamWindow: 1, maxAdmittedBytes: 200 });
    stream.write(numbered(1, ...twenty));
    expect(await stream.next()).toMatchObject({
      case: "result",
      value: {
        outcome: { case: "error", value: { reason: "BATCH_TOO_MANY_RECORDS" } },
      },
    });
    const large = "x".repeat(1_000);
    stream.write(numbered(2, large));
    stream.write(numbered(3, large));
    for (const sequence of [2n, 3n])
      expect(await stream.next()).toMatchObject({
        case: "result",
        value: { sequence, outcome: { case: "result" } },
      });
    stream.halfClose();
    expect(await stream.next()).toBeUndefined();
    const another = kit.raw.stream();
    another.write(open("marked"));
    expect(await another.next()).toMatchObject({
      value: { window: 1, maxBatchBytes: 100, maxBatchRecords: 10 },
    });
    another.halfClose();
    await another.ended;
  });

  test("of execution reach stored pipelines, inline chains and pipelines in processes of their own alike", async () => {
    await kit.put("apart", [{ module: "marked", isolation: Isolation.PROCESS }]);
    await kit.raw.transform(request("apart", "a"));
    const chain = { target: inlineTarget("marked"), batch: batchOf("!") };
    await kit.raw.transform({ ...chain, batch: batchOf("a") });
    await change({ maxBatchExecutionMs: 50, maxRecordExecutionMs: 40 });
    for (const each of [request("marked", "!"), chain, request("apart", "!")]) {
      const { failures } = await kit.raw.transform(each);
      expect(failures).toMatchObject([
        {
          code: "timeout",
          message: expect.stringMatching(/^stopped: one record may run 40 ms, one batch 50 ms/),
        },
      ]);
    }
  });

  test("that a stored pipeline does not keep to are refused by its name, and nothing changes", async () => {
    await kit.put("slow", [{ module: "marked", limits: { batchTimeoutMs: 4_000, recordTimeoutMs: 1_000 } }]);
    await expect(
      change({ maxBatchExecutionMs: 3_000, maxRecordExecutionMs: 500, maxBatchRecords: 10 }),
    ).rejects.toMatchObject({
      reason: "LIMITS_UNFIT",
      metadata: { pipeline: "slow", problem: expect.stringMatching(/batch_timeout_ms.*maxBatchExecutionMs/) },
    });
    expect(valuesOf(await kit.raw.transform(request("slow", ...twenty)))).toEqual(twenty);
  });

  test("that are raised let streams in that wait for room", async () => {
    await change({ maxAdmittedBatches: 1 });
    const held = await kit.hold();
    const stream = kit.raw.stream();
    stream.write(open("marked"));
    expect((await stream.next())?.case).toBe("opened");
    stream.write(numbered(1, "a"));
    await kit.raw.call("/grpc.health.v1.Health/Check", new Uint8Array(0)).response;
    expect(kit.server.stats.admission.batches).toBe(1);
    await change({ maxAdmittedBatches: 10 });
    await until(() => kit.server.stats.admission.batches === 2, "the stream's batch is admitted");
    await held.release();
    expect(await stream.next()).toMatchObject({ case: "result" });
    stream.halfClose();
    await stream.ended;
  });

  test("leave a rollout under way", async () => {
    await kit.load("marked", "marked", "1");
    await kit.leat.modules.loadModule({
      name: "marked",
      version: "2",
      wasm: await moduleBytes("marked"),
      noActivate: true,
    });
    await kit.leat.modules.startRollout({ reference: "marked@2", share: 0.5 });
    await change({ maxBatchExecutionMs: 400_000, maxRecordExecutionMs: 400_000 });
    for (let call = 0; call < 40; call++) await kit.raw.transform(request("marked", "a"));
    const { rollout } = await kit.leat.modules.getRollout({ name: "marked" });
    const { base, candidate } = rollout ?? {};
    expect([base?.version, candidate?.version]).toEqual(["1", "2"]);
    expect(Number(base?.batches) + Number(candidate?.batches)).toBe(40);
    expect(Number(candidate?.batches)).toBeGreaterThan(0);
  });
});
