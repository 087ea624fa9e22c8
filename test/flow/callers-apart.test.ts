import type { TransformResult } from "@leat/proto";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { PendingCall } from "../kit/raw-client.ts";
import { request, shapeOf, valuesOf } from "../kit/records.ts";
import { holdingLimits, startTestServer, type TestServer } from "../kit/test-server.ts";
import { until } from "../kit/until.ts";

let kit: TestServer;

const maxResultRecords = 50;

beforeAll(async () => {
  kit = await startTestServer({
    limits: { ...holdingLimits, maxWorkerQueue: 1, maxResultRecords },
    modules: { marked: "marked", program: "program" },
    pipelines: {
      hasty: [{ module: "marked", limits: { recordTimeoutMs: 50, batchTimeoutMs: 100 } }],
    },
  });
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

/** Lets calls pile up behind a held worker, so that they go together. */
async function together(begin: () => PendingCall<TransformResult>[]): Promise<TransformResult[]> {
  const held = await kit.hold();
  const calls = begin();
  const results = Promise.all(calls.map(({ response }) => response));
  await until(() => kit.server.stats.admission.batches === 1 + calls.length, "all calls wait");
  await held.release();
  return results;
}

test("a caller whose records run for ever costs those who shared a crossing with it nothing but time", async () => {
  const [poisoned, ...others] = await together(() => [
    kit.raw.begin(request("hasty", ...new Array<string>(30).fill("!"))),
    ...Array.from({ length: 5 }, (_, n) => kit.raw.begin(request("hasty", `a${n}`))),
  ]);
  expect(poisoned?.failures.map(({ code }) => code)).toEqual(new Array(30).fill("timeout"));
  expect(others.flatMap(valuesOf)).toEqual(["a0", "a1", "a2", "a3", "a4"]);
});

test("one that was cancelled meanwhile is not run again", async () => {
  const held = await kit.hold();
  const poisoned = kit.raw.begin(request("hasty", "!"));
  const given = kit.raw.begin(request("hasty", "a"));
  const kept = kit.raw.begin(request("hasty", "b"));
  await until(() => kit.server.stats.admission.batches === 4, "all calls wait");
  const failed = expect(given.response).rejects.toThrow(/CANCELLED/);
  await held.release();
  given.cancel();
  await failed;
  expect((await poisoned.response).failures.map(({ code }) => code)).toEqual(["timeout"]);
  expect(valuesOf(await kept.response)).toEqual(["b"]);
  await kit.idle();
});

test("calls whose results are too many only when taken together all succeed", async () => {
  const results = await together(() =>
    Array.from({ length: 10 }, (_, n) => kit.raw.begin(request("program", `9${n}abcdefghi`))),
  );
  results.forEach((result, n) => {
    const value = `${n}abcdefghi`;
    expect(valuesOf(result)).toEqual(Array.from({ length: 9 }, (_, cut) => value.slice(cut)));
  });
});

test("and one whose result is too much by itself fails alone", async () => {
  const results = await together(() => [
    kit.raw.begin(request("program", "ma")),
    kit.raw.begin(request("program", ...new Array<string>(7).fill("9"))),
    kit.raw.begin(request("program", "mb", "t")),
  ]);
  const [first, large, last] = results;
  expect(first && shapeOf(first, 1)).toEqual({ values: ["a"], fanout: [1], failures: [] });
  expect(large?.failures.map(({ index, code }) => `${index} ${code}`)).toEqual([
    "5 output_too_large",
    "6 output_too_large",
  ]);
  expect(last && shapeOf(last, 2)).toEqual({ values: ["b"], fanout: [1, 0], failures: ["1 trap@program"] });
});

test("each call is counted once, however often it was run", async () => {
  const { success, errors } = kit.server.stats.pipeline("program");
  const before = success.count;
  await together(() => Array.from({ length: 10 }, () => kit.raw.begin(request("program", "9abcdefghi"))));
  expect(success.count - before).toBe(10);
  expect([...errors]).toEqual([]);
});
