import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { WorkerHandle } from "../../server/pool/worker-handle.ts";
import { failureOf } from "../kit/call-error.ts";
import { liveThreads, recordsAtWork } from "../kit/inventory.ts";
import { markedNaming } from "../kit/modules.ts";
import { numbered, open, request, shapeOf, valuesOf } from "../kit/records.ts";
import { holdingLimits, startTestServer, type TestServer } from "../kit/test-server.ts";
import { until } from "../kit/until.ts";

let kit: TestServer;

beforeEach(async () => {
  kit = await startTestServer({
    limits: holdingLimits,
    modules: { marked: "marked", program: "program", silent: await markedNaming("silent") },
  });
});

afterEach(async () => {
  vi.restoreAllMocks();
  await kit[Symbol.asyncDispose]();
});

/** Ends the thread in which a guest works on that record. */
async function killAt(record: number): Promise<void> {
  await until(() => recordsAtWork().includes(record), `a guest works on record ${record}`);
  await Promise.all(liveThreads().map((thread) => thread.terminate()));
}

describe("when a worker thread dies under a batch", () => {
  test("the record that the guest was at fails with `worker_lost`, and the others succeed", async () => {
    const call = kit.raw.transform(request("marked", "a", "~", "b"));
    await killAt(1);
    expect(shapeOf(await call, 3)).toEqual({
      values: ["a", "b"],
      fanout: [1, 0, 1],
      failures: ["1 worker_lost@marked"],
    });
  });

  test("and the guest had named none, its records run one by one, and the one that kills again fails", async () => {
    const call = kit.raw.transform(request("silent", "a", "!", "b"));
    await killAt(-1);
    await killAt(1);
    expect(shapeOf(await call, 3)).toEqual({
      values: ["a", "b"],
      fanout: [1, 0, 1],
      failures: ["1 worker_lost@silent"],
    });
  });

  test("what waited behind it runs elsewhere, unharmed and in order", async () => {
    const stream = kit.raw.stream();
    const stuck = kit.raw.transform(request("marked", "~"));
    await until(() => recordsAtWork().includes(0), "the worker is busy");
    stream.write(open("program"));
    for (let sequence = 1; sequence <= 20; sequence++) stream.write(numbered(sequence, `m${sequence}`));
    stream.halfClose();
    await until(() => kit.server.stats.admission.batches === 21, "the stream's batches wait");
    await killAt(0);
    expect((await stuck).failures.map(({ code }) => code)).toEqual(["worker_lost"]);
    const [, ...results] = await stream.rest();
    expect(
      results.flatMap((message) =>
        message.case === "result" && message.value.outcome.case === "result"
          ? valuesOf(message.value.outcome.value)
          : [],
      ),
    ).toEqual(Array.from({ length: 20 }, (_, index) => String(index + 1)));
  });

  test("it is replaced, and told by reason in the figures", async () => {
    const call = kit.raw.transform(request("marked", "~"));
    await killAt(0);
    await call;
    expect(valuesOf(await kit.raw.transform(request("marked", "a")))).toEqual(["a"]);
    await until(async () => (await kit.metrics()).pool?.workers === 1, "there is a worker again");
    expect(Number((await kit.metrics()).pool?.stopped["crash"])).toBeGreaterThanOrEqual(1);
  });
});

test("a helper that dies while the other worker is held up is replaced: who comes next is served", async () => {
  await kit[Symbol.asyncDispose]();
  kit = await startTestServer({
    limits: { ...holdingLimits, maxExtraWorkers: 1, maxStallMs: 20 },
    modules: { marked: "marked", program: "program" },
  });
  const held = await kit.hold();
  const submit = vi.spyOn(WorkerHandle.prototype, "submit");
  expect(valuesOf(await kit.raw.transform(request("program", "ma")))).toEqual(["a"]);
  const helper = submit.mock.contexts.at(-1) as WorkerHandle;
  const thread = liveThreads().find(({ threadName }) => threadName?.startsWith(`leat-${helper.number}-`));
  await thread?.terminate();
  await until(() => helper.state.t === "dead", "the helper is dead");
  expect(valuesOf(await kit.raw.transform(request("program", "mb")))).toEqual(["b"]);
  await held.release();
});

test("a server that is closed while a guest runs leaves no thread and answers the call", async () => {
  const failure = failureOf(kit.raw.transform(request("silent", "!")));
  await until(() => recordsAtWork().length > 0, "the guest runs");
  await kit.server.close();
  expect(liveThreads()).toEqual([]);
  expect(["UNAVAILABLE", "CANCELLED"]).toContain((await failure).status);
});

test("a server that is closed while a stuck worker is being stopped waits for that thread, too", async () => {
  const stopping = Promise.withResolvers<void>();
  const { stop } = WorkerHandle.prototype;
  vi.spyOn(WorkerHandle.prototype, "stop").mockImplementation(function (this: WorkerHandle, reason) {
    stop.call(this, reason);
    stopping.resolve();
  });
  const call = kit.raw.begin(request("silent", "#"));
  const failure = failureOf(call.response);
  await until(() => recordsAtWork().length > 0, "the guest runs");
  call.cancel();
  await stopping.promise;
  await kit.server.close();
  expect(liveThreads()).toEqual([]);
  expect((await failure).status).toBe("CANCELLED");
});
