import { afterAll, beforeAll, expect, test } from "vitest";
import { failureOf } from "../kit/call-error.ts";
import { numbered, open, request, valuesOf } from "../kit/records.ts";
import { holdingLimits, startTestServer, type TestServer } from "../kit/test-server.ts";

let kit: TestServer;

beforeAll(async () => {
  kit = await startTestServer({
    limits: { ...holdingLimits },
    http: true,
    modules: { marked: "marked", program: "program" },
  });
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

const timeoutMs = 100;

test("a unary call ends with DEADLINE_EXCEEDED and its guest is stopped", async () => {
  expect(await failureOf(kit.raw.transform(request("marked", "~"), { timeoutMs }))).toMatchObject({
    status: "DEADLINE_EXCEEDED",
  });
  await kit.idle();
});

test("a call whose deadline passes in the queue never runs", async () => {
  await kit.raw.transform(request("program", "m"));
  const [stage] = kit.server.stats.pipeline("program").stages;
  const runs = stage?.execute.count;
  const held = await kit.hold();
  expect(await failureOf(kit.raw.transform(request("program", "m"), { timeoutMs }))).toMatchObject({
    status: "DEADLINE_EXCEEDED",
  });
  await held.release();
  await kit.idle();
  expect(runs).toBeGreaterThan(0);
  expect(stage?.execute.count).toBe(runs);
});

test("a stream's deadline ends the stream and its running batch", async () => {
  const stream = kit.raw.stream({ timeoutMs: 300 });
  stream.write(open("marked"));
  stream.write(numbered(1, "a"));
  stream.write(numbered(2, "~"));
  expect((await stream.next())?.case).toBe("opened");
  expect(await stream.next()).toMatchObject({ case: "result", value: { sequence: 1n } });
  expect(await stream.ended).toMatchObject({ t: "failed", failure: { status: "DEADLINE_EXCEEDED" } });
  await kit.idle();
});

test("the SDK's timeout is the call's deadline", async () => {
  await expect(kit.leat.transform("marked", [{ value: "~" }], { timeoutMs })).rejects.toThrow(
    /deadline|timed out/i,
  );
  await kit.idle();
});

test("over Connect, too", async () => {
  const response = await fetch(`${kit.url}/leat.v1.TransformService/Transform`, {
    method: "POST",
    headers: { "content-type": "application/json", "connect-timeout-ms": String(timeoutMs) },
    body: JSON.stringify({
      target: { pipeline: "marked" },
      batch: { records: [{ value: Buffer.from("~").toString("base64") }] },
    }),
  });
  expect(await response.json()).toMatchObject({ code: "deadline_exceeded" });
  await kit.idle();
});

test("and the worker serves on", async () => {
  expect(valuesOf(await kit.raw.transform(request("marked", "a"), { timeoutMs: 20_000 }))).toEqual(["a"]);
});
