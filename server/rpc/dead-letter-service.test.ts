import { once } from "node:events";
import { setTimeout } from "node:timers/promises";
import { fromBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import {
  DeadLetterService,
  OnFailure,
  ReplayDeadLettersRequestSchema,
  type ReplayDeadLettersResponse,
  ReplayDeadLettersResponseSchema,
} from "@leat/proto";
import type { Leat } from "@leat/sdk";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { draft, recordOf } from "../../test/kit/dead-letters.ts";
import { encode } from "../../test/kit/raw-client.ts";
import { request, valuesOf } from "../../test/kit/records.ts";
import { holdingLimits, startTestServer, type TestServer } from "../../test/kit/test-server.ts";
import { until } from "../../test/kit/until.ts";
import { leatError } from "../errors.ts";
import { resolveLimits } from "../limits.ts";
import { Engine } from "./engine.ts";

type Letters = Leat["deadLetters"];

/** Young enough to stay. */
const baseMs = Date.now() - 60_000;

let kit: TestServer;

beforeAll(async () => {
  kit = await startTestServer({
    http: true,
    limits: { maxReplaysInFlight: 4 },
    modules: { program: "program", marked: "marked" },
    pipelines: { kept: [{ module: "program", onFailure: OnFailure.DEAD_LETTER }] },
  });
});

beforeEach(async () => {
  await kit.server.deadLetters.purge({});
});

afterAll(() => kit[Symbol.asyncDispose]());

/** Keeps one letter for each record, in the order of their times. */
async function keep(pipeline: string, ...values: readonly string[]): Promise<void> {
  const letters = values.map((value, n) =>
    draft(`${pipeline}-${n}`, { pipeline, timeMs: baseMs + n, record: recordOf(value) }),
  );
  await kit.server.deadLetters.write(letters);
}

async function left(): Promise<string[]> {
  const { deadLetters } = await kit.leat.deadLetters.listDeadLetters({});
  return deadLetters.map(({ id }) => id).toReversed();
}

async function all(
  responses: AsyncIterable<ReplayDeadLettersResponse>,
): Promise<ReplayDeadLettersResponse[]> {
  return Array.fromAsync(responses);
}

describe.each<readonly [string, () => Letters]>([
  ["gRPC", () => kit.leat.deadLetters],
  [
    "Connect",
    () => createClient(DeadLetterService, createConnectTransport({ baseUrl: kit.url, httpVersion: "1.1" })),
  ],
  [
    "gRPC-Web",
    () => createClient(DeadLetterService, createGrpcWebTransport({ baseUrl: kit.url, httpVersion: "1.1" })),
  ],
])("over %s", (_, client) => {
  test("letters are listed in pages, newest first and without their records", async () => {
    await keep("program", "a", "b", "c");
    const first = await client().listDeadLetters({ pageSize: 2 });
    expect(first).toMatchObject({
      total: 3n,
      deadLetters: [
        {
          id: "program-2",
          module: "json-redact@1.0.0",
          code: "trap",
          time: timestampFromMs(baseMs + 2),
        },
        { id: "program-1" },
      ],
    });
    expect(first.deadLetters.map(({ record }) => record)).toEqual([undefined, undefined]);
    expect(first.deadLetters[0]?.sizeBytes).toBe(recordOf("c").length);
    const second = await client().listDeadLetters({ pageSize: 2, pageToken: first.nextPageToken });
    expect(second).toMatchObject({ total: 3n, nextPageToken: "", deadLetters: [{ id: "program-0" }] });
  });

  test("one letter is shown whole", async () => {
    await kit.server.deadLetters.write([
      draft("one", { timeMs: baseMs, record: recordOf("in"), stageInput: recordOf("between") }),
    ]);
    const { deadLetter } = await client().getDeadLetter({ id: "one" });
    expect(Buffer.from(deadLetter?.record?.value ?? []).toString()).toBe("in");
    expect(Buffer.from(deadLetter?.stageInput?.value ?? []).toString()).toBe("between");
    await expect(client().getDeadLetter({ id: "two" })).rejects.toThrow(/no dead letter two/);
  });

  test("letters are run again: who comes through is removed, who fails stays and counts its tries", async () => {
    await keep("program", "a1", "x", "0", "2abc");
    const responses = await all(client().replayDeadLetters({ filter: { pipeline: "program" } }));
    expect(responses.map(({ id, removed }) => [id, removed])).toEqual([
      ["program-0", true],
      ["program-1", false],
      ["program-2", true],
      ["program-3", true],
    ]);
    expect(responses.map(({ result }) => (result === undefined ? [] : valuesOf(result)))).toEqual([
      ["1"],
      [],
      [],
      ["abc", "bc"],
    ]);
    expect(responses[1]?.result?.failures).toMatchObject([{ code: "refused", deadLetterId: "program-1" }]);
    expect(await left()).toEqual(["program-1"]);
    const { deadLetter } = await client().getDeadLetter({ id: "program-1" });
    expect(deadLetter).toMatchObject({ attempts: 2, code: "trap" });
  });

  test("letters are purged as the filter says, and all only when asked for", async () => {
    await keep("program", "a", "b");
    await keep("marked", "c");
    expect(await client().purgeDeadLetters({ filter: { pipeline: "program" } })).toMatchObject({
      removed: 2n,
    });
    await expect(client().purgeDeadLetters({})).rejects.toThrow(
      /filter: is empty; set a condition, or set `all`/,
    );
    expect(await left()).toEqual(["marked-0"]);
    expect(await client().purgeDeadLetters({ all: true })).toMatchObject({ removed: 1n });
  });
});

test("metrics tell what is kept, and whether it can be", async () => {
  await keep("program", "a", "b");
  const text = await (await fetch(`${kit.url}/metrics`)).text();
  expect(text).toMatch(/^leat_dead_letters_kept 2$/m);
  expect(text).toMatch(/^leat_dead_letters_store_failed 0$/m);
});

describe("a replay", () => {
  test("goes through the pipeline that the caller names, and keeps letters on demand", async () => {
    await keep("gone", "a1", "b2");
    const responses = await all(
      kit.leat.deadLetters.replayDeadLetters({
        filter: { pipeline: "gone" },
        pipeline: "program",
        keep: true,
        limit: 1,
      }),
    );
    expect(responses.map(({ id, removed }) => [id, removed])).toEqual([["gone-0", false]]);
    expect(await left()).toEqual(["gone-0", "gone-1"]);
  });

  test("goes through the version of a module that the caller names, while the active one fails", async () => {
    await kit.load("two-faced", "program", "1");
    await kit.load("two-faced", "marked", "2");
    await kit.put("two-faced", ["two-faced"]);
    const replayWith = (...versions: string[]) =>
      all(kit.leat.deadLetters.replayDeadLetters({ filter: { pipeline: "two-faced" }, versions }));
    await keep("two-faced", "%1");
    expect(await replayWith()).toMatchObject([{ removed: false, result: { failures: [{ code: "trap" }] } }]);
    const [response] = await replayWith("two-faced@1");
    expect(response?.removed).toBe(true);
    expect(response?.result && valuesOf(response.result)).toEqual(["1"]);
    // What serves is the active one still.
    expect((await kit.raw.transform(request("two-faced", "%1"))).failures).toMatchObject([{ code: "trap" }]);

    const refused = { reason: "REQUEST_INVALID", metadata: { field: "versions" } };
    await expect(replayWith("program@1")).rejects.toMatchObject(refused);
    await expect(replayWith("two-faced")).rejects.toMatchObject(refused);
    await expect(replayWith("two-faced@3")).rejects.toMatchObject({ reason: "MODULE_NOT_FOUND" });
    const anyPipeline = { filter: { stage: "redact" }, versions: ["two-faced@1"] };
    await expect(all(kit.leat.deadLetters.replayDeadLetters(anyPipeline))).rejects.toMatchObject(refused);

    await keep("inline:two-faced", "%1");
    const chain = { filter: { pipeline: "inline:two-faced" }, versions: ["two-faced@1"] };
    expect(await all(kit.leat.deadLetters.replayDeadLetters(chain))).toMatchObject([{ removed: true }]);
  });

  test("goes through the chain of modules that a call brought along", async () => {
    await keep("inline:program,program", "ab1");
    const [response] = await all(kit.leat.deadLetters.replayDeadLetters({ filter: { stage: "redact" } }));
    expect(response?.result && valuesOf(response.result)).toEqual(["1"]);
  });

  test("leaves no second letter of a record that its pipeline keeps again", async () => {
    const result = await kit.raw.transform(request("kept", "a", "x"));
    const id = result.failures[0]?.deadLetterId ?? "";
    expect(await left()).toEqual([id]);
    const [response] = await all(kit.leat.deadLetters.replayDeadLetters({ filter: { ids: [id] } }));
    expect(response?.result?.failures).toMatchObject([{ code: "refused", deadLetterId: id }]);
    expect(await left()).toEqual([id]);
  });

  test("writes no second letter even for a moment, in which the server might die", async () => {
    await keep("kept", "x", "a", "x");
    const write = vi.spyOn(kit.server.deadLetters, "write");
    const responses = await all(kit.leat.deadLetters.replayDeadLetters({ filter: { pipeline: "kept" } }));
    expect(responses.map(({ removed }) => removed)).toEqual([false, true, false]);
    expect(write).not.toHaveBeenCalled();
    write.mockRestore();
    const { deadLetter } = await kit.leat.deadLetters.getDeadLetter({ id: "kept-0" });
    expect(deadLetter?.attempts).toBe(2);
  });

  test("of what takes its worker down holds up none of the others", async () => {
    await keep("marked", "a", "%", "b", "%", "c");
    const responses = await all(kit.leat.deadLetters.replayDeadLetters({ filter: { pipeline: "marked" } }));
    expect(responses.map(({ result }) => result?.failures[0]?.code ?? "through")).toEqual([
      "through",
      "trap",
      "through",
      "trap",
      "through",
    ]);
  });

  test("ends at a letter whose pipeline is gone, and says which", async () => {
    await keep("program", "a1");
    await keep("vanished", "a1");
    const ids: string[] = [];
    const failed = (async () => {
      const filter = { stage: "redact" };
      for await (const { id } of kit.leat.deadLetters.replayDeadLetters({ filter })) ids.push(id);
    })();
    await expect(failed).rejects.toMatchObject({ reason: "PIPELINE_NOT_FOUND" });
    expect(await left()).toContain("vanished-0");
    const unknown = all(
      kit.leat.deadLetters.replayDeadLetters({ filter: { stage: "redact" }, pipeline: "unknown" }),
    );
    await expect(unknown).rejects.toMatchObject({
      reason: "PIPELINE_NOT_FOUND",
      metadata: { pipeline: "unknown" },
    });
  });

  test("that ends at its first letter leaves those that ran behind it and were not told of", async () => {
    await keep("program", "x", "a1", "b2", "c3");
    const { stats, deadLetters } = kit.server;
    const before = stats.pipeline("program").recordsOut;
    using _ = vi.spyOn(deadLetters, "recordReplay").mockImplementationOnce(async () => {
      await until(() => stats.pipeline("program").recordsOut === before + 3, "the others have run");
      throw leatError("STORE_UNAVAILABLE", { problem: "of a test" });
    });
    const run = all(kit.leat.deadLetters.replayDeadLetters({ filter: { pipeline: "program" } }));
    await expect(run).rejects.toMatchObject({ reason: "STORE_UNAVAILABLE" });
    expect(await left()).toEqual(["program-0", "program-1", "program-2", "program-3"]);
  });

  test("that cannot remove a letter says so, after it has told of it", async () => {
    await keep("program", "a1", "b2");
    const { deadLetters } = kit.server;
    using _ = vi
      .spyOn(deadLetters, "remove")
      .mockRejectedValueOnce(leatError("STORE_UNAVAILABLE", { problem: "of a test" }));
    const told: string[] = [];
    const run = (async () => {
      const filter = { pipeline: "program" };
      for await (const { id } of kit.leat.deadLetters.replayDeadLetters({ filter })) told.push(id);
    })();
    await expect(run).rejects.toMatchObject({ reason: "STORE_UNAVAILABLE" });
    expect(told).toEqual(["program-0", "program-1"]);
    expect(await left()).toEqual(["program-0"]);
  });

  test("waits where the queue is too long", async () => {
    await keep("program", "a1");
    using expected = vi
      .spyOn(Engine.prototype, "expectedWaitMs")
      .mockReturnValueOnce(resolveLimits({}).maxQueueDelayMs + 1);
    const run = all(kit.leat.deadLetters.replayDeadLetters({ filter: { pipeline: "program" } }));
    expect(await run).toMatchObject([{ id: "program-0", removed: true }]);
    expect(expected.mock.calls.length).toBeGreaterThan(1);
  });

  test("waits for a breaker, unless that stays open for longer than it is worth", async () => {
    const once = { faults: 1, window: 1, probes: 1 };
    await using own = await startTestServer({
      modules: { program: "program", marked: "marked" },
      pipelines: {
        soon: [{ module: "program", breaker: { ...once, openMs: 500 } }],
        late: [{ module: "marked", breaker: { ...once, openMs: 61_000 } }],
      },
    });
    const replayOf = (pipeline: string) =>
      all(own.leat.deadLetters.replayDeadLetters({ filter: { pipeline } }));
    await own.raw.transform(request("soon", "t"));
    await own.raw.transform(request("late", "%"));
    const letters = ["soon", "late"].map((pipeline) =>
      draft(pipeline, { pipeline, timeMs: baseMs, record: recordOf("a") }),
    );
    await own.server.deadLetters.write(letters);
    expect(await replayOf("soon")).toMatchObject([{ id: "soon", removed: true }]);
    await expect(replayOf("late")).rejects.toMatchObject({ reason: "BREAKER_OPEN" });
    const { deadLetters } = await own.leat.deadLetters.listDeadLetters({});
    expect(deadLetters.map(({ id }) => id)).toEqual(["late"]);
  });

  test("without a condition is refused, as are pages and references that are none", async () => {
    const { deadLetters } = kit.leat;
    const refused = { reason: "REQUEST_INVALID" };
    await expect(all(deadLetters.replayDeadLetters({ filter: {} }))).rejects.toMatchObject(refused);
    await expect(deadLetters.listDeadLetters({ pageSize: 1_001 })).rejects.toMatchObject(refused);
    await expect(deadLetters.listDeadLetters({ pageToken: "nonsense" })).rejects.toMatchObject(refused);
    await expect(deadLetters.listDeadLetters({ filter: { module: "A B" } })).rejects.toMatchObject(refused);
  });

  test("reads no further ahead than its caller reads its answers", async () => {
    await keep("program", ...Array.from({ length: 300 }, () => "1".padEnd(200_000, "1")));
    const ranBefore = kit.server.stats.pipeline("program").recordsIn;
    const call = kit.raw.serverStream(
      "/leat.v1.DeadLetterService/ReplayDeadLetters",
      encode(ReplayDeadLettersRequestSchema, { filter: { pipeline: "program" }, keep: true }),
    );
    const ended = once(call, "end");
    // Begins the call without reading what it brings.
    call.once("readable", () => undefined);
    const { stats } = kit.server;
    const ran = (): number => stats.pipeline("program").recordsIn - ranBefore;
    await until(async () => {
      const before = ran();
      await setTimeout(100);
      return before > 0 && ran() === before && stats.admission.batches === 0;
    }, "the replay waits for its caller");
    expect(ran()).toBeLessThan(200);
    const ids: string[] = [];
    call.on("data", (bytes: Buffer) => ids.push(fromBinary(ReplayDeadLettersResponseSchema, bytes).id));
    await ended;
    expect(ids).toEqual(Array.from({ length: 300 }, (_, n) => `program-${n}`));
  });

  test("that is cancelled at its first letter leaves those that came through behind it", async () => {
    const limits = { ...holdingLimits, maxWorkers: 2 };
    const modules = { marked: "marked", program: "program" } as const;
    await using held = await startTestServer({ limits, modules });
    const { deadLetters, stats } = held.server;
    const timeMs = Date.now();
    const letters = ["~", "a1", "b2", "c3"].map((value, n) => {
      const pipeline = n === 0 ? "marked" : "program";
      return draft(`${n}`, { pipeline, timeMs: timeMs + n, record: recordOf(value) });
    });
    await deadLetters.write(letters);
    const abort = new AbortController();
    const call = { filter: { stage: "redact" } };
    const run = all(held.leat.deadLetters.replayDeadLetters(call, { signal: abort.signal }));
    const failed = expect(run).rejects.toThrow(/abort|cancel/i);
    await until(() => stats.pipeline("program").recordsOut === 3, "the others have run");
    abort.abort();
    await failed;
    await held.idle();
    expect((await held.leat.deadLetters.listDeadLetters({})).total).toBe(4n);
  });

  test("that is cancelled stops what is under way, and leaves letters as they were", async () => {
    await using held = await startTestServer({ limits: holdingLimits, modules: { marked: "marked" } });
    const { deadLetters, stats } = held.server;
    const timeMs = Date.now();
    const letters = ["~", "~", "a"].map((value, n) =>
      draft(`${n}`, { pipeline: "marked", timeMs: timeMs + n, record: recordOf(value) }),
    );
    await deadLetters.write(letters);
    const abort = new AbortController();
    const call = { filter: { pipeline: "marked" } };
    const run = all(held.leat.deadLetters.replayDeadLetters(call, { signal: abort.signal }));
    const failed = expect(run).rejects.toThrow(/abort|cancel/i);
    await until(() => stats.admission.batches === 3, "all letters are under way");
    abort.abort();
    await failed;
    await held.idle();
    const { deadLetters: left } = await held.leat.deadLetters.listDeadLetters({});
    expect(left.map(({ id, attempts }) => [id, attempts])).toEqual([
      ["2", 1],
      ["1", 1],
      ["0", 1],
    ]);
  });
});
