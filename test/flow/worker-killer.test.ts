import type { ServiceError } from "@grpc/grpc-js";
import { afterAll, beforeAll, expect, test } from "vitest";
import { systemClock } from "../../server/clock.ts";
import { callFailure } from "../kit/call-error.ts";
import { request, valuesOf } from "../kit/records.ts";
import { startTestServer, type TestServer } from "../kit/test-server.ts";

let kit: TestServer;

/** The machine's clock, which tests put forward. */
const clock = {
  aheadMs: 0,
  nowMs(): number {
    return systemClock.nowMs() + this.aheadMs;
  },
  wallMs: () => systemClock.wallMs(),
};

const never = { disabled: true };

beforeAll(async () => {
  kit = await startTestServer({
    clock,
    limits: { maxRecordExecutionMs: 50, maxBatchExecutionMs: 200, maxWorkerStops: 3 },
    modules: { killer: "marked", neighbour: "program" },
    pipelines: {
      killer: [{ module: "killer", breaker: never }],
      neighbour: ["neighbour"],
    },
  });
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

async function reasonOf(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => "answered",
    (error: ServiceError) => callFailure(error).reason,
  );
}

async function heldModules(): Promise<string[]> {
  const { modules } = await kit.leat.modules.listModules({});
  return modules.filter(({ quarantine }) => quarantine !== undefined).map(({ name }) => name);
}

async function kill(times: number): Promise<void> {
  for (let n = 0; n < times; n++) await reasonOf(kit.raw.transform(request("killer", "!")));
}

test("one batch counts once, however many of its records bring workers down", async () => {
  const { failures } = await kit.raw.transform(request("killer", "!", "!", "!", "!", "a"));
  expect(failures.map(({ code }) => code)).toContain("timeout");
  expect(await reasonOf(kit.raw.transform(request("killer", "a")))).toBe("answered");
  clock.aheadMs += 61_000;
});

test("a module that keeps bringing workers down is put in quarantine, for longer each time, and its neighbours are served", async () => {
  await kill(2);
  expect(valuesOf(await kit.raw.transform(request("killer", "a")))).toEqual(["a"]);
  await kill(1);
  expect(await reasonOf(kit.raw.transform(request("killer", "a")))).toBe("MODULE_QUARANTINED");
  expect(await reasonOf(kit.raw.transform(request("neighbour", "a")))).toBe("answered");
  expect(await heldModules()).toEqual(["killer"]);
  expect((await kit.metrics()).quarantined).toHaveLength(1);

  clock.aheadMs += 61_000;
  expect(await reasonOf(kit.raw.transform(request("killer", "a")))).toBe("answered");
  await kill(3);
  clock.aheadMs += 61_000;
  expect(await reasonOf(kit.raw.transform(request("killer", "a")))).toBe("MODULE_QUARANTINED");
});

test("the operator lets it run again", async () => {
  expect(await kit.leat.modules.releaseModule({ reference: "killer" })).toMatchObject({
    wasQuarantined: true,
  });
  expect(await reasonOf(kit.raw.transform(request("killer", "a")))).toBe("answered");
});

test("batches of others that run or wait in the worker that is brought down are answered, and nobody blames their modules", async () => {
  clock.aheadMs += 24 * 3_600_000;
  for (let round = 0; round < 3; round++) {
    const killer = reasonOf(kit.raw.transform(request("killer", "!")));
    const others = Array.from({ length: 20 }, (_, n) => kit.raw.transform(request("neighbour", `m${n}`)));
    expect((await Promise.all(others)).flatMap(valuesOf)).toEqual(
      Array.from({ length: 20 }, (_, n) => `${n}`),
    );
    await killer;
  }
  expect(await reasonOf(kit.raw.transform(request("killer", "a")))).toBe("MODULE_QUARANTINED");
  expect(await heldModules()).toEqual(["killer"]);
  // The killer comes back on probation, beside a neighbour against which nothing is held.
  clock.aheadMs += 24 * 3_600_000;
  expect(valuesOf(await kit.raw.transform(request("killer", "a")))).toEqual(["a"]);
  expect(valuesOf(await kit.raw.transform(request("neighbour", "mb")))).toEqual(["b"]);
  expect(await heldModules()).toEqual([]);
});
