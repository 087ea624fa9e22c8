import { OnFailure } from "@leat/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { request, shapeOf } from "../kit/records.ts";
import { startTestServer, type TestServer } from "../kit/test-server.ts";

let kit: TestServer;

const patient = { attempts: 2, initialBackoffMs: 60_000, maxBackoffMs: 60_000 };
const quick = { attempts: 4, initialBackoffMs: 1, maxBackoffMs: 2 };

beforeAll(async () => {
  kit = await startTestServer({
    modules: { program: "program" },
    deadLetters: { write: async () => {} },
    pipelines: {
      retried: [{ module: "program", retry: quick }],
      faults: [{ module: "program", retry: { ...quick, attempts: 2, faults: true } }],
      dropped: [{ module: "program", retry: quick, onFailure: 2 }],
      second: ["program", { module: "program", retry: quick }],
      patient: [{ module: "program", retry: patient }],
      kept: [{ module: "program", retry: patient, onFailure: OnFailure.DEAD_LETTER }],
    },
  });
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

test("a record that may be tried again is, until it comes through, at its place", async () => {
  const result = await kit.raw.transform(request("retried", "a1", "?late", "2bc", "d4"));
  expect(shapeOf(result, 4)).toEqual({
    values: ["1", "late", "bc", "c", "4"],
    fanout: [1, 1, 2, 1],
    failures: [],
  });
});

test("a record that never comes through fails with the number of its tries, and the others are not run again", async () => {
  const before = await kit.pipelineMetrics("retried");
  const result = await kit.raw.transform(request("retried", "a1", "y", "b2"));
  expect(shapeOf(result, 3)).toEqual({
    values: ["1", "2"],
    fanout: [1, 0, 1],
    failures: ["1 later@program"],
  });
  expect(result.failures[0]?.attempts).toBe(4);
  const after = await kit.pipelineMetrics("retried");
  expect(after.stages[0]?.retries).toBe((before.stages[0]?.retries ?? 0n) + 3n);
  expect(after.recordsIn - before.recordsIn).toBe(3n);
  expect((after.stages[0]?.recordsIn ?? 0n) - (before.stages[0]?.recordsIn ?? 0n)).toBe(6n);
});

test("a refusal that is not called retryable is final", async () => {
  const result = await kit.raw.transform(request("retried", "x"));
  expect(result.failures[0]).toMatchObject({ code: "refused", attempts: 1 });
});

test("faults are tried again only where the policy says so", async () => {
  const once = await kit.raw.transform(request("retried", "t"));
  expect(once.failures[0]).toMatchObject({ code: "trap", attempts: 1 });
  const twice = await kit.raw.transform(request("faults", "t"));
  expect(twice.failures[0]).toMatchObject({ code: "trap", attempts: 2 });
});

test("what is left after the last try goes the policy's way", async () => {
  const result = await kit.raw.transform(request("dropped", "a1", "y", "b2"));
  expect(shapeOf(result, 3)).toEqual({ values: ["1", "2"], fanout: [1, 0, 1], failures: [] });
});

test("a record that fails at a later stage is run again from the first", async () => {
  const result = await kit.raw.transform(request("second", "a?x", "ab1"));
  expect(shapeOf(result, 2)).toEqual({ values: ["x", "1"], fanout: [1, 1], failures: [] });
});

test("records of several calls that shared a crossing are tried again for their own call", async () => {
  const results = await Promise.all(
    Array.from({ length: 20 }, (_, index) =>
      kit.raw.transform(request("retried", `a${index}`, index % 3 === 0 ? "y" : "b!")),
    ),
  );
  results.forEach((result, index) => {
    expect(shapeOf(result, 2).failures).toEqual(index % 3 === 0 ? ["1 later@program"] : []);
  });
});

test("a wait that the deadline would end is not begun: the others' results come, and the failure with its letter", async () => {
  const call = request("kept", "a1", "y", "b2");
  const { response } = kit.raw.begin(call, { timeoutMs: 30_000 });
  const result = await response;
  expect(shapeOf(result, 3)).toEqual({
    values: ["1", "2"],
    fanout: [1, 0, 1],
    failures: ["1 later@program"],
  });
  expect(result.failures[0]?.deadLetterId).not.toBe("");
});

test("a wait ends when the caller goes away", async () => {
  const { response, cancel } = kit.raw.begin(request("patient", "y"));
  const outcome = response.then(
    () => "answered",
    () => "cancelled",
  );
  // The first run is over when its retry is counted.
  for (;;) {
    const { pipelines } = await kit.metrics();
    if (pipelines.find(({ pipeline }) => pipeline === "patient")?.stages[0]?.retries === 1n) break;
  }
  cancel();
  expect(await outcome).toBe("cancelled");
  await kit.idle();
});
