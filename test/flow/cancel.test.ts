import { Code } from "@leat/sdk";
import { afterAll, beforeAll, expect, test } from "vitest";
import { failureOf } from "../kit/call-error.ts";
import { recordsAtWork } from "../kit/inventory.ts";
import { markedNaming } from "../kit/modules.ts";
import { countdown, numbered, open, request, valuesOf } from "../kit/records.ts";
import { holdingLimits, startTestServer, type TestServer } from "../kit/test-server.ts";
import { until } from "../kit/until.ts";

let kit: TestServer;

beforeAll(async () => {
  kit = await startTestServer({
    limits: { ...holdingLimits, maxWorkerQueue: 1 },
    modules: { marked: "marked", program: "program", silent: await markedNaming("silent") },
  });
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

function stopped(): number {
  return kit.server.stats.pool.stopped.get("cancelled") ?? 0;
}

test("a guest that says which record it works on stops when its call is cancelled, and its worker lives on", async () => {
  const before = stopped();
  const held = await kit.hold();
  await held.release();
  await kit.idle();
  expect(stopped()).toBe(before);
  expect(valuesOf(await kit.raw.transform(request("marked", "a")))).toEqual(["a"]);
});

test("a guest that never asks is stopped with its worker after the grace", async () => {
  const before = stopped();
  const call = kit.raw.begin(request("silent", "!"));
  await until(() => recordsAtWork().length === 1, "the guest runs");
  call.cancel();
  expect(await failureOf(call.response)).toMatchObject({ status: "CANCELLED" });
  await kit.idle();
  expect(stopped()).toBe(before + 1);
  expect(valuesOf(await kit.raw.transform(request("silent", "a")))).toEqual(["a"]);
});

test("a call that is cancelled while it waits gives its place up at once and never runs", async () => {
  const executions = () => kit.server.stats.pipeline("program").executions;
  const before = executions();
  const held = await kit.hold();
  const waiting = kit.raw.begin(request("program", "m"));
  await until(() => kit.server.stats.admission.batches === 2, "the second call waits");
  waiting.cancel();
  expect(await failureOf(waiting.response)).toMatchObject({ status: "CANCELLED" });
  await until(() => kit.server.stats.admission.batches === 1, "its place was given up");
  await held.release();
  await kit.idle();
  expect(executions()).toBe(before);
});

test("of calls that run together the cancelled one is left out and the others are answered", async () => {
  const held = await kit.hold();
  const calls = Array.from({ length: 8 }, (_, n) => kit.raw.begin(request("program", `m${n}`)));
  await until(() => kit.server.stats.admission.batches === 9, "all calls wait");
  calls[3]?.cancel();
  await failureOf(calls[3]?.response ?? Promise.resolve());
  await until(() => kit.server.stats.admission.batches === 8, "the cancelled call has left");
  await held.release();
  const others = calls.filter((_, n) => n !== 3);
  expect((await Promise.all(others.map(({ response }) => response))).flatMap(valuesOf)).toEqual([
    ..."0124567",
  ]);
});

test("a stream that is cancelled takes its running batch and all that wait with it", async () => {
  const stream = kit.raw.stream();
  stream.write(open("marked"));
  expect((await stream.next())?.case).toBe("opened");
  for (let sequence = 1; sequence <= 10; sequence++) stream.write(numbered(sequence, "~"));
  await until(() => kit.server.stats.admission.batches === 10, "all batches are admitted");
  stream.cancel();
  expect(await stream.ended).toMatchObject({ t: "failed", failure: { status: "CANCELLED" } });
  await kit.idle();
});

test("the SDK's signal cancels the call in the worker", async () => {
  const abort = new AbortController();
  const call = kit.leat.transform("marked", [{ value: "~" }], { signal: abort.signal });
  await until(() => kit.server.stats.admission.batches === 1, "the call is admitted");
  abort.abort();
  await expect(call).rejects.toThrow();
  await kit.idle();
});

test("leaving an SDK stream early cancels what runs", async () => {
  for await (const result of kit.leat.stream("marked", [[{ value: "a" }], [{ value: "~" }]])) {
    expect(result.records).toHaveLength(1);
    break;
  }
  await kit.idle();
});

test("records that run one by one stop between two of them, though their module never asks", async () => {
  const executed = () => kit.server.stats.pipeline("silent").success.count;
  const before = executed();
  // Four faults make the rest run one by one; each of these takes some milliseconds.
  const slow = new Array<Uint8Array>(9_000).fill(countdown(10_000_000));
  const call = kit.raw.begin(request("silent", "%", "%", "%", "%", ...slow));
  await until(() => kit.server.stats.admission.batches === 1, "the call is admitted");
  call.cancel();
  await failureOf(call.response);
  await kit.idle();
  expect(executed()).toBe(before);
});

test.each([0, 1, 2, 3, 4, 6, 8])(
  "a call of the SDK that is cancelled after %i microtasks, before it has left or just then, runs nowhere",
  async (microtasks) => {
    await kit.leat.connect(5_000);
    const controller = new AbortController();
    const { signal } = controller;
    const call = kit.leat.transform("marked", [{ value: "~" }], { signal });
    const outcome = expect(call).rejects.toMatchObject({ code: Code.Canceled });
    for (let turn = 0; turn < microtasks; turn++) await null;
    controller.abort();
    await outcome;
    // A call behind it on the same connection: by then the server has all that was sent before.
    await kit.leat.modules.listModules({});
    await kit.idle();
  },
);

test.each([0, 1, 2, 3, 4, 6, 8])("so does a stream that is ended after %i microtasks", async (microtasks) => {
  await kit.leat.connect(5_000);
  const controller = new AbortController();
  const { signal } = controller;
  const results = Array.fromAsync(kit.leat.stream("marked", [{ value: "~" }], { signal }));
  const outcome = expect(results).rejects.toMatchObject({ code: Code.Canceled });
  for (let turn = 0; turn < microtasks; turn++) await null;
  controller.abort();
  await outcome;
  await kit.leat.modules.listModules({});
  await kit.idle();
});
