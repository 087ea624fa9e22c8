import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { crossingsSoFar } from "../kit/inventory.ts";
import { markedNaming, namings } from "../kit/modules.ts";
import { countdown, numbered, open, request, shapeOf, valuesOf } from "../kit/records.ts";
import { startTestServer, type TestServer } from "../kit/test-server.ts";
import { until } from "../kit/until.ts";

let kit: TestServer;

// These tests stop more workers than a module may.
const limits = {
  maxRecordExecutionMs: 100,
  maxBatchExecutionMs: 300,
  maxInitMs: 300,
  maxWorkers: 2,
  maxWorkerStops: 0,
};

beforeAll(async () => {
  const named = Object.keys(namings) as (keyof typeof namings)[];
  const liars = await Promise.all(named.map(async (naming) => [naming, await markedNaming(naming)] as const));
  kit = await startTestServer({
    limits,
    modules: { marked: "marked", program: "program", ...Object.fromEntries(liars) },
    pipelines: { chain: ["program", "marked"], dropping: [{ module: "marked", onFailure: 2 }] },
  });
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

async function stopped(): Promise<number> {
  return Number((await kit.metrics()).pool?.stopped["timeout"] ?? 0);
}

describe("a record that runs too long fails with `timeout`, and its neighbours succeed", () => {
  test.each([
    ["a loop", "!"],
    ["a loop that calls the host", "~"],
    ["a loop of memory.fill", "#"],
  ])("%s", async (_, mark) => {
    const before = await stopped();
    const result = await kit.raw.transform(request("marked", "a", mark, "b"));
    expect(shapeOf(result, 3)).toEqual({
      values: ["a", "b"],
      fanout: [1, 0, 1],
      failures: ["1 timeout@marked"],
    });
    const message = result.failures[0]?.message ?? "";
    const told =
      /^stopped: one record may run 100 ms, one batch 300 ms; it took (\d+) ms(?:, and ran for \d+ of them)?$/;
    expect(message).toMatch(told);
    expect(Number(told.exec(message)?.[1])).toBeGreaterThanOrEqual(limits.maxRecordExecutionMs);
    expect((await stopped()) - before).toBe(1);
  });

  test.each(["silent", "negative", "huge", "first"])("in a module whose naming is: %s", async (module) => {
    const result = await kit.raw.transform(request(module, "a", "!", "b"));
    const failed = result.failures.map(({ index, code }) => `${index} ${code}`);
    if (module === "first") expect(failed).toEqual(expect.arrayContaining(["1 timeout"]));
    else {
      expect(failed).toEqual(["1 timeout"]);
      expect(valuesOf(result)).toEqual(["a", "b"]);
    }
  });

  test("at a later stage, too", async () => {
    const result = await kit.raw.transform(request("chain", "ma", "2c!", "mb"));
    // The second input becomes `c!` and `!`.
    expect(shapeOf(result, 3)).toEqual({
      values: ["a", "c!", "b"],
      fanout: [1, 1, 1],
      failures: ["1 timeout@s2"],
    });
  });

  test("and nothing is reported where the policy is to drop", async () => {
    const result = await kit.raw.transform(request("dropping", "a", "!", "b"));
    expect(shapeOf(result, 3)).toEqual({ values: ["a", "b"], fanout: [1, 0, 1], failures: [] });
  });

  test("when two of them are in one batch", async () => {
    const result = await kit.raw.transform(request("marked", "!", "a", "!", "b"));
    expect(shapeOf(result, 4)).toEqual({
      values: ["a", "b"],
      fanout: [0, 1, 0, 1],
      failures: ["0 timeout@marked", "2 timeout@marked"],
    });
  });
});

test("a batch of nothing but endless records ends after a bounded number of runs", async () => {
  const before = crossingsSoFar();
  const result = await kit.raw.transform(request("marked", ...new Array(200).fill("!")));
  expect(result.failures).toHaveLength(200);
  expect(new Set(result.failures.map(({ code }) => code))).toEqual(new Set(["timeout"]));
  // The time of five batches, in records.
  const allowed = (5 * limits.maxBatchExecutionMs) / limits.maxRecordExecutionMs;
  expect(crossingsSoFar() - before).toBeLessThanOrEqual(allowed + 3);
});

test("a batch whose records are each quick enough, but not together, does not hold its worker for as long as it likes", async () => {
  const before = crossingsSoFar();
  // Each takes some milliseconds: far less than a record may, and all of them a hundred times what a batch may.
  const slow = new Array<Uint8Array>(8_000).fill(countdown(4_000_000));
  const result = await kit.raw.transform(request("marked", ...slow));
  const timedOut = result.failures.filter(({ code }) => code === "timeout").length;
  expect(timedOut).toBeGreaterThan(4_000);
  expect(timedOut + (result.batch?.records.length ?? 0)).toBe(8_000);
  expect(crossingsSoFar() - before).toBeLessThanOrEqual(20);
});

test("what was queued behind a stuck batch runs, and so do other streams", async () => {
  const stream = kit.raw.stream();
  stream.write(open("program"));
  expect((await stream.next())?.case).toBe("opened");
  const stuck = Promise.all([
    kit.raw.transform(request("marked", "!", "a")),
    kit.raw.transform(request("marked", "!", "b")),
  ]);
  for (let sequence = 1; sequence <= 20; sequence++) stream.write(numbered(sequence, `m${sequence}`));
  const others = Promise.all(
    Array.from({ length: 10 }, (_, n) => kit.raw.transform(request("marked", `x${n}`))),
  );
  stream.halfClose();
  const results = await stream.rest();
  expect(results.map((message) => message.case === "result" && Number(message.value.sequence))).toEqual(
    Array.from({ length: 20 }, (_, index) => index + 1),
  );
  expect((await others).map(valuesOf)).toEqual(Array.from({ length: 10 }, (_, n) => [`x${n}`]));
  for (const result of await stuck) expect(result.failures.map(({ code }) => code)).toEqual(["timeout"]);
  expect(await stream.ended).toEqual({ t: "ok" });
});

test("a worker that was stopped is replaced: as many take batches as before", async () => {
  await kit.raw.transform(request("marked", "!"));
  await until(
    async () => (await kit.metrics()).pool?.workers === limits.maxWorkers,
    "the worker was replaced",
  );
});

test("state of the stopped instance reaches nobody", async () => {
  const result = await kit.raw.transform(request("marked", "!", "+"));
  expect(valuesOf(result)).toEqual(["1"]);
});
