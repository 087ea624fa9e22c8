import { Code } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { json, Leat, LeatCallError, type Outcome, text } from "./index.ts";
import { Gate, turns, until } from "./test-kit/gates.ts";
import { startProtocolServer } from "./test-kit/protocol-server.ts";

const codec = text();

function show(outcome: Outcome<string>): string {
  return outcome.status === "ok" ? outcome.outputs.join("+") : outcome.status;
}

describe("a batcher", () => {
  test("turns concurrent calls into few batches, and gives each call its own outcome", async () => {
    await using server = await startProtocolServer();
    await using leat = new Leat(server.address);
    await using batcher = leat.batcher("uppercase", { codec, maxRecords: 100 });
    const values = Array.from({ length: 1_000 }, (_, index) => `v${index}`);
    const outcomes = await Promise.all(values.map((value) => batcher.transform(value)));
    expect(outcomes.map(show)).toEqual(values.map((value) => value.toUpperCase()));
    expect(server.streams.map(({ batches }) => batches.length)).toEqual([10]);
  });

  test("maps splits, drops and failures to their calls", async () => {
    await using server = await startProtocolServer();
    await using leat = new Leat(server.address);
    await using batcher = leat.batcher("words", { codec });
    const outcomes = await Promise.all(["a b", "", "bad", "c"].map((value) => batcher.transform(value)));
    expect(outcomes.map(show)).toEqual(["a+b", "dropped", "failed", "c"]);
    expect(outcomes[2]).toMatchObject({ failure: { code: "bad_word", index: 2 } });
  });

  test("sends a batch when it is full in records or in bytes, or when the delay is over", async () => {
    await using server = await startProtocolServer();
    await using leat = new Leat(server.address);
    const counts = (): number[] => server.streams.at(-1)?.batches.map(({ records }) => records.length) ?? [];
    const byCount = leat.batcher("identity", { codec, maxRecords: 2, maxDelayMs: 60_000 });
    await Promise.all(["a", "b", "c", "d"].map((value) => byCount.transform(value)));
    expect(counts()).toEqual([2, 2]);
    const bySize = leat.batcher("identity", { codec, maxBytes: 100, maxDelayMs: 60_000 });
    await Promise.all(["x".repeat(60), "y".repeat(60)].map((value) => bySize.transform(value)));
    expect(counts()).toEqual([2]);
    const byDelay = leat.batcher("identity", { codec, maxDelayMs: 1 });
    await Promise.all(["a", "b", "c"].map((value) => byDelay.transform(value)));
    expect(counts()).toEqual([3]);
    const byTurn = leat.batcher("identity", { codec, maxDelayMs: 0 });
    await Promise.all(["a", "b"].map((value) => byTurn.transform(value)));
    expect(counts()).toEqual([2]);
  });

  test("keeps at most maxInFlight batches under way", async () => {
    const gate = new Gate();
    await using server = await startProtocolServer({ beforeAnswer: () => gate.wait() });
    await using leat = new Leat(server.address);
    await using batcher = leat.batcher("identity", { codec, maxRecords: 1, maxInFlight: 3 });
    const all = Promise.all(["a", "b", "c", "d", "e"].map((value) => batcher.transform(value)));
    await until(() => server.streams[0]?.batches.length === 3);
    await turns(20);
    expect(server.streams[0]?.batches).toHaveLength(3);
    expect(batcher.pending).toBe(2);
    gate.open();
    expect((await all).map(show)).toEqual(["a", "b", "c", "d", "e"]);
  });

  test("refuses calls beyond maxPending, and says so", async () => {
    const gate = new Gate();
    await using server = await startProtocolServer({ beforeAnswer: () => gate.wait() });
    await using leat = new Leat(server.address);
    await using batcher = leat.batcher("identity", { codec, maxPending: 2 });
    const accepted = [batcher.transform("a"), batcher.transform("b")];
    await expect(batcher.transform("c")).rejects.toMatchObject({
      code: Code.ResourceExhausted,
      reason: "BATCHER_FULL",
    });
    gate.open();
    expect(await Promise.all(accepted)).toHaveLength(2);
  });

  test("gives one call up on its signal, and answers the others", async () => {
    const gate = new Gate();
    await using server = await startProtocolServer({ beforeAnswer: () => gate.wait() });
    await using leat = new Leat(server.address);
    await using batcher = leat.batcher("uppercase", { codec });
    const controller = new AbortController();
    const given = batcher.transform("a", { signal: controller.signal });
    const kept = batcher.transform("b", { signal: new AbortController().signal });
    await until(() => server.streams[0]?.batches.length === 1);
    controller.abort(new Error("enough"));
    await expect(given).rejects.toMatchObject({ code: Code.Canceled, message: "enough" });
    gate.open();
    expect(show(await kept)).toBe("B");
    const never = batcher.transform("c", { signal: AbortSignal.abort() });
    await expect(never).rejects.toMatchObject({ code: Code.Canceled });
  });

  test("rejects only the call whose value cannot be encoded", async () => {
    await using server = await startProtocolServer();
    await using leat = new Leat(server.address);
    await using batcher = leat.batcher("identity", { codec: json<unknown>() });
    const [good, bad, alsoGood] = await Promise.allSettled(
      [1, 2n, 3].map((value) => batcher.transform(value)),
    );
    expect(good).toMatchObject({ value: { outputs: [1] } });
    expect(bad).toMatchObject({ reason: { name: "EncodeError" } });
    expect(alsoGood).toMatchObject({ value: { outputs: [3] } });
  });

  test("rejects the calls of a batch that could not be run", async () => {
    await using server = await startProtocolServer({
      refuse: (sequence) =>
        sequence === 1 ? { reason: "BATCH_MALFORMED", code: Code.InvalidArgument } : undefined,
    });
    await using leat = new Leat(server.address);
    await using batcher = leat.batcher("identity", { codec, maxRecords: 2 });
    const settled = await Promise.allSettled(["a", "b", "c"].map((value) => batcher.transform(value)));
    expect(settled.map(({ status }) => status)).toEqual(["rejected", "rejected", "fulfilled"]);
    expect(settled[0]).toMatchObject({ reason: { reason: "BATCH_MALFORMED" } });
  });

  test("survives a cut connection: each call is answered once", async () => {
    await using server = await startProtocolServer();
    await using leat = new Leat(server.address);
    await using batcher = leat.batcher("uppercase", {
      codec,
      maxRecords: 5,
      reconnect: { initialMs: 1, maxMs: 5 },
    });
    const values = Array.from({ length: 200 }, (_, index) => `v${index}`);
    const calls = values.map((value) => batcher.transform(value));
    await calls[20];
    server.cutConnections();
    expect((await Promise.all(calls)).map(show)).toEqual(values.map((value) => value.toUpperCase()));
    expect(server.streams.length).toBeGreaterThan(1);
  });

  test("rejects what an outage leaves unanswered, and works again after it", async () => {
    let server = await startProtocolServer();
    const { port } = server;
    await using leat = new Leat(server.address);
    await using batcher = leat.batcher("uppercase", {
      codec,
      reconnect: { maxAttempts: 1, initialMs: 1, maxMs: 1 },
    });
    expect(show(await batcher.transform("a"))).toBe("A");
    await server.close();
    await expect(batcher.transform("b")).rejects.toBeInstanceOf(LeatCallError);
    server = await startProtocolServer({ port });
    let outcome: Outcome<string> | undefined;
    // The channel waits a little before it connects anew; calls fail until then.
    while (outcome === undefined) outcome = await batcher.transform("c").catch(() => undefined);
    expect(show(outcome)).toBe("C");
    await server.close();
  });

  test("close answers what was called before, and refuses what comes after", async () => {
    await using server = await startProtocolServer();
    await using leat = new Leat(server.address);
    const batcher = leat.batcher("uppercase", { codec, maxDelayMs: 60_000 });
    const call = batcher.transform("a");
    await batcher.close();
    expect(show(await call)).toBe("A");
    await expect(batcher.transform("b")).rejects.toMatchObject({ code: Code.FailedPrecondition });
    await until(() => server.streams[0]?.ended === true);
  });

  test("closing the client closes its batchers the same way", async () => {
    await using server = await startProtocolServer();
    const leat = new Leat(server.address);
    const batcher = leat.batcher("uppercase", { codec, maxDelayMs: 60_000 });
    const call = batcher.transform("a");
    await leat.close();
    expect(show(await call)).toBe("A");
  });
});
