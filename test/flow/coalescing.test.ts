import { InstancePolicy, type TransformResult } from "@leat/proto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { PendingCall } from "../kit/raw-client.ts";
import { batchOf, pipelineTarget, request, shapeOf, valuesOf } from "../kit/records.ts";
import { holdingLimits, startTestServer, type TestServer } from "../kit/test-server.ts";
import { until } from "../kit/until.ts";

let kit: TestServer;

beforeAll(async () => {
  kit = await startTestServer({
    // However slow the machine is, what it took before parts no calls.
    limits: { ...holdingLimits, maxWorkerQueue: 1, maxCoalescedMs: 600_000 },
    modules: { marked: "marked", program: "program" },
    pipelines: {
      twice: ["program", "program"],
      other: ["program"],
      apart: [{ module: "program", instances: InstancePolicy.FRESH }],
    },
  });
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

/** Lets calls pile up behind a held worker, and then go all together. */
async function together(
  begin: () => PendingCall<TransformResult>[],
): Promise<PromiseSettledResult<TransformResult>[]> {
  const held = await kit.hold();
  const calls = begin();
  const results = Promise.allSettled(calls.map(({ response }) => response));
  await until(() => kit.server.stats.admission.batches === 1 + calls.length, "all calls wait");
  await held.release();
  return results;
}

function fulfilled(results: PromiseSettledResult<TransformResult>[]): TransformResult[] {
  return results.map((result) => {
    if (result.status === "rejected") throw result.reason;
    return result.value;
  });
}

function executions(pipeline: string): number {
  return kit.server.stats.pipeline(pipeline).executions;
}

test("calls of a pipeline with fresh instances keep to themselves", async () => {
  const before = executions("apart");
  await together(() => Array.from({ length: 5 }, (_, n) => kit.raw.begin(request("apart", `m${n}`))));
  expect(executions("apart") - before).toBe(5);
  const { stages } = await kit.pipelineMetrics("apart");
  expect(stages[0]?.instancesCreated).toBeGreaterThanOrEqual(5n);
});

describe("calls that wait for the same pipeline share a crossing", () => {
  test("64 of them take one", async () => {
    const before = executions("program");
    const results = fulfilled(
      await together(() => Array.from({ length: 64 }, (_, n) => kit.raw.begin(request("program", `m${n}`)))),
    );
    expect(results.flatMap(valuesOf)).toEqual(Array.from({ length: 64 }, (_, n) => String(n)));
    expect(executions("program") - before).toBe(1);
  });

  test("and each gets what became of its own records, numbered as it sent them", async () => {
    const kinds = [
      { sent: ["mma", "mmb"], shape: { values: ["a", "b"], fanout: [1, 1], failures: [] } },
      { sent: ["x", "mmc"], shape: { values: ["c"], fanout: [0, 1], failures: ["0 refused@s1"] } },
      {
        sent: ["3mab", "mx"],
        shape: { values: ["ab", "b", ""], fanout: [3, 0], failures: ["1 refused@s2"] },
      },
      { sent: ["0", "m0", "mmd"], shape: { values: ["d"], fanout: [0, 0, 1], failures: [] } },
      { sent: ["mme", "mt"], shape: { values: ["e"], fanout: [1, 0], failures: ["1 trap@s2"] } },
      { sent: [], shape: { values: [], fanout: [], failures: [] } },
      { sent: ["y"], shape: { values: [], fanout: [0], failures: ["0 later@s1"] } },
    ];
    const calls = Array.from({ length: 40 }, (_, n) => kinds[n % kinds.length] ?? { sent: [], shape: {} });
    const before = executions("twice");
    const results = fulfilled(
      await together(() => calls.map(({ sent }) => kit.raw.begin(request("twice", ...sent)))),
    );
    results.forEach((result, n) => {
      const { sent = [], shape } = calls[n] ?? {};
      expect(shapeOf(result, sent.length)).toEqual(shape);
    });
    expect(executions("twice") - before).toBe(1);
  });

  test("but not with calls of another pipeline", async () => {
    const before = [executions("program"), executions("other")];
    const results = fulfilled(
      await together(() =>
        Array.from({ length: 20 }, (_, n) =>
          kit.raw.begin(request(n % 2 === 0 ? "program" : "other", `m${n}`)),
        ),
      ),
    );
    expect(results.flatMap(valuesOf)).toEqual(Array.from({ length: 20 }, (_, n) => String(n)));
    expect([executions("program"), executions("other")]).toEqual(before.map((count) => count + 1));
  });
});

describe("sharing a crossing costs nobody anything", () => {
  test("calls that have too many records only when taken together all succeed", async () => {
    const empty = new Array<Uint8Array>(4_000).fill(new Uint8Array(0));
    const results = fulfilled(
      await together(() => Array.from({ length: 6 }, () => kit.raw.begin(request("program", ...empty)))),
    );
    for (const result of results) expect(result.batch?.records).toHaveLength(4_000);
  });

  test("a malformed batch is refused on arrival, and its neighbours are answered", async () => {
    const calls = () => [
      kit.raw.begin(request("program", "ma")),
      kit.raw.call("/leat.v1.TransformService/Transform", Buffer.from([0x12, 0x03, 0x0a, 0x7f, 0x00])),
      kit.raw.begin(request("program", "mb")),
    ];
    const held = await kit.hold();
    const [first, bad, second] = calls() as [
      PendingCall<TransformResult>,
      PendingCall<Buffer>,
      PendingCall<TransformResult>,
    ];
    await expect(bad.response).rejects.toThrow(/INVALID_ARGUMENT/);
    await held.release();
    expect(valuesOf(await first.response)).toEqual(["a"]);
    expect(valuesOf(await second.response)).toEqual(["b"]);
  });

  test("results that together outgrow a slot reach their callers whole", async () => {
    const big = "v".repeat(15_000);
    const before = executions("program");
    const results = fulfilled(
      await together(() =>
        Array.from({ length: 16 }, (_, n) =>
          kit.raw.begin({ target: pipelineTarget("program"), batch: batchOf(`9${n}${big}`, "x", `m${n}`) }),
        ),
      ),
    );
    results.forEach((result, n) => {
      const whole = `${n}${big}`;
      expect(result.failures.map(({ index }) => index)).toEqual([1]);
      expect(valuesOf(result)).toEqual([
        ...Array.from({ length: 9 }, (_, cut) => whole.slice(cut)),
        String(n),
      ]);
    });
    // 64 KiB of calls fit one crossing: four of these.
    expect(executions("program") - before).toBe(4);
  });

  test("figures count every call, and every crossing once", async () => {
    const stats = kit.server.stats.pipeline("other");
    const before = { success: stats.success.count, in: stats.recordsIn, failed: stats.recordsFailed };
    await together(() => Array.from({ length: 10 }, () => kit.raw.begin(request("other", "m", "x"))));
    expect(stats.success.count - before.success).toBe(10);
    expect(stats.recordsIn - before.in).toBe(20);
    expect(stats.recordsFailed - before.failed).toBe(10);
  });
});
