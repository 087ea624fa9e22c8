import { afterAll, beforeAll, expect, test } from "vitest";
import { inlineTarget, numbered, open, request } from "../kit/records.ts";
import { holdingLimits, startTestServer, type TestServer } from "../kit/test-server.ts";
import { until } from "../kit/until.ts";

let kit: TestServer;

beforeAll(async () => {
  kit = await startTestServer({ limits: holdingLimits, modules: { marked: "marked", program: "program" } });
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

test("what is in flight at the half-close is answered, then the stream ends with OK", async () => {
  const held = await kit.hold();
  const stream = kit.raw.stream();
  stream.write(open("program"));
  for (let sequence = 1; sequence <= 5; sequence++) stream.write(numbered(sequence, "m", "x", "t"));
  stream.halfClose();
  await until(() => kit.server.stats.admission.batches === 6, "all batches wait");
  await held.release();
  const [opened, ...results] = await stream.rest();
  expect(opened?.case).toBe("opened");
  expect(results.map((message) => message.case === "result" && message.value.sequence)).toEqual([
    1n,
    2n,
    3n,
    4n,
    5n,
  ]);
  expect(await stream.ended).toEqual({ t: "ok" });
});

test("a stream that is opened and closed gets `opened` and OK", async () => {
  const stream = kit.raw.stream();
  stream.write(open("program"));
  stream.halfClose();
  expect((await stream.rest()).map((message) => message.case)).toEqual(["opened"]);
  expect(await stream.ended).toEqual({ t: "ok" });
});

test("one that is closed while its chain is still being built, too", async () => {
  const stream = kit.raw.stream();
  stream.write({
    message: { case: "open", value: { target: inlineTarget("program", "program", "program") } },
  });
  stream.write(numbered(1, "mmma"));
  stream.halfClose();
  expect((await stream.rest()).map((message) => message.case)).toEqual(["opened", "result"]);
  expect(await stream.ended).toEqual({ t: "ok" });
});

test("a stream that is closed without having been opened is a breach", async () => {
  const stream = kit.raw.stream();
  stream.halfClose();
  expect(await stream.rest()).toEqual([]);
  expect(await stream.ended).toMatchObject({
    t: "failed",
    failure: { status: "INVALID_ARGUMENT", reason: "STREAM_NOT_OPENED" },
  });
});

test("an empty source of the SDK gives no results and ends", async () => {
  const results = [];
  for await (const result of kit.leat.stream("program", [])) results.push(result);
  expect(results).toEqual([]);
});

test("nothing of these stays behind", async () => {
  await kit.raw.transform(request("program", "m"));
  await kit.idle();
});
