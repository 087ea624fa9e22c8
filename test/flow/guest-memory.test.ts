import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { request } from "../kit/records.ts";
import { startTestServer, type TestServer } from "../kit/test-server.ts";

const MiB = 2 ** 20;
const initial = MiB / 8;
const names = ["a", "b", "c", "d"];
const many = Array.from({ length: 24 }, (_, index) => `of-many-${index}`);
let kit: TestServer;

beforeAll(async () => {
  kit = await startTestServer({
    // One worker runs all of it, however slow the machine is.
    limits: {
      maxExtraWorkers: 0,
      maxStallMs: 600_000,
      maxGuestMemoryBytes: 16 * MiB,
      maxInstanceBytesPerWorker: 16 * MiB,
    },
    modules: { grows: "grows" },
    pipelines: Object.fromEntries([...names, "leaping", ...many].map((name) => [name, ["grows"]])),
  });
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

async function grow(pipeline: string, mebibytes: number): Promise<void> {
  const { failures } = await kit.raw.transform(request(pipeline, String(mebibytes)));
  expect(failures).toEqual([]);
}

async function instancesOf(pipeline: string) {
  const [stage] = (await kit.pipelineMetrics(pipeline)).stages;
  const { evicted, memory } = stage?.instancesDiscarded ?? {};
  return { made: Number(stage?.instancesCreated), evicted: Number(evicted), memory: Number(memory) };
}

async function heldBytes(): Promise<number> {
  return Number((await kit.metrics()).pool?.instanceBytes);
}

describe("instances that grow", () => {
  test("have no more memory together than the limit; the ones unused for longest give way", async () => {
    for (const name of names) await grow(name, 6);
    // All modules were warmed up in the spare, where an instance is alive, too.
    expect(await heldBytes()).toBeLessThanOrEqual(2 * (6 * MiB + initial) + (names.length + 2) * initial);
    for (const name of names) await grow(name, 0);
    expect(await Promise.all(names.map(instancesOf))).toEqual([
      { made: 2, evicted: 1, memory: 0 },
      { made: 2, evicted: 1, memory: 0 },
      { made: 1, evicted: 0, memory: 0 },
      { made: 1, evicted: 0, memory: 0 },
    ]);
  });

  test("give back what they had when they gave way", async () => {
    const beforeMiB = process.memoryUsage().rss / MiB;
    let mostMiB = 0;
    for (let round = 0; round < 3; round++) {
      for (const name of many) {
        await grow(name, 6);
        mostMiB = Math.max(mostMiB, process.memoryUsage().rss / MiB);
      }
    }
    // 432 MiB were taken; 16 may live, and a few be dropped and not collected yet.
    expect(mostMiB - beforeMiB).toBeLessThan(150);
  });

  test("are dropped after the batch in which they grew above half of what they may have", async () => {
    await grow("leaping", 9);
    expect(await instancesOf("leaping")).toEqual({ made: 1, evicted: 0, memory: 1 });
    const [stage] = (await kit.pipelineMetrics("leaping")).stages;
    expect(Number(stage?.memoryHighWaterBytes)).toBe(9 * MiB + initial);
    await grow("leaping", 1);
    expect(await instancesOf("leaping")).toEqual({ made: 2, evicted: 0, memory: 1 });
  });
});
