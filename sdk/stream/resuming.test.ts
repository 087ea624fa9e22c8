import { Code } from "@connectrpc/connect";
import { beforeEach, describe, expect, test } from "vitest";
import { Leat, LeatCallError, text } from "../index.ts";
import { Gate, turns, until } from "../test-kit/gates.ts";
import { type ProtocolServer, startProtocolServer } from "../test-kit/protocol-server.ts";
import { collect, fast, numbers, oneTo, thrownBy, upper } from "../test-kit/stream-runs.ts";

const codec = text();

describe("resuming", () => {
  let server: ProtocolServer;
  beforeEach(async () => {
    server = await startProtocolServer();
    return () => server.close();
  });

  test("a cut connection loses nothing and repeats nothing", async () => {
    await using leat = new Leat(server.address);
    const outputs: string[] = [];
    for await (const result of leat.stream("uppercase", numbers(200), { codec, batchRecords: 1, ...fast })) {
      outputs.push(...result.outputs);
      if (result.sequence % 50 === 20) server.cutConnections();
    }
    expect(outputs).toEqual(upper(200));
    expect(server.streams.length).toBeGreaterThan(3);
    expect(new Set(server.streams.map(({ streamId }) => streamId)).size).toBe(1);
  });

  test("what was not answered is sent again under the same sequences", async () => {
    await using leat = new Leat(server.address);
    const gate = new Gate();
    server.behaviour.beforeAnswer = (sequence) => (sequence > 3 ? gate.wait() : undefined);
    const done = collect(leat, numbers(10), { streamId: "mine" });
    await until(() => server.streams[0]?.batches.length === 10);
    server.cutConnections();
    await until(() => server.streams[1]?.batches.length === 7);
    gate.open();
    expect(await done).toEqual({ sequences: oneTo(10), outputs: upper(10) });
    const [, second] = server.streams;
    expect(second).toMatchObject({ streamId: "mine", afterSequence: 3 });
    expect(second?.batches.map(({ sequence }) => sequence)).toEqual([4, 5, 6, 7, 8, 9, 10]);
    expect(second?.batches[0]?.records).toEqual(server.streams[0]?.batches[3]?.records);
  });

  test("an unordered stream resumes across the gaps, and runs nothing again that was answered", async () => {
    await using leat = new Leat(server.address);
    const gate = new Gate();
    server.behaviour.beforeAnswer = (sequence) => (sequence % 2 === 1 ? gate.wait() : undefined);
    const seen: number[] = [];
    const read = (async () => {
      const options = { codec, batchRecords: 1, unordered: true, ...fast };
      for await (const result of leat.stream("uppercase", numbers(6), options)) seen.push(result.sequence);
    })();
    await until(() => seen.length === 3);
    expect(seen).toEqual([2, 4, 6]);
    // On the second connection the others are answered first, so that what was answered before is at the head.
    const second = new Gate();
    server.behaviour.beforeAnswer = (sequence) => (sequence % 2 === 0 ? second.wait() : undefined);
    server.cutConnections();
    await until(() => server.streams[1]?.batches.length === 6);
    second.open();
    await read;
    expect(seen.toSorted()).toEqual([1, 2, 3, 4, 5, 6]);
    expect(server.streams[1]?.afterSequence).toBe(0);
    const sent = server.streams[1]?.batches.map(({ sequence, records }) => [sequence, records.length]);
    expect(sent).toEqual([
      [1, 1],
      [2, 0],
      [3, 1],
      [4, 0],
      [5, 1],
      [6, 0],
    ]);
  });

  test("a batch that the server takes no more after a reconnect is answered in band, and the stream goes on", async () => {
    await using leat = new Leat(server.address);
    const gate = new Gate();
    server.behaviour.beforeAnswer = () => gate.wait();
    const results = leat.stream("identity", ["a", "x".repeat(100), "b"], { codec, batchRecords: 1, ...fast });
    const seen: string[] = [];
    const read = (async () => {
      for await (const { error, outcomes } of results) seen.push(error?.reason ?? outcomes[0]?.status ?? "");
    })();
    await until(() => server.streams[0]?.batches.length === 3);
    server.behaviour.maxBatchBytes = 60;
    server.cutConnections();
    await until(() => server.streams[1]?.batches.length === 3);
    gate.open();
    await read;
    expect(seen).toEqual(["ok", "BATCH_TOO_LARGE", "ok"]);
    expect(server.streams[1]?.batches.map(({ records }) => records.length)).toEqual([1, 0, 1]);
  });

  test("a server that comes back on the same port is found again", async () => {
    await using leat = new Leat(server.address);
    const { port } = server;
    const results = leat.stream("uppercase", numbers(20), { codec, batchRecords: 1, ...fast });
    expect((await results.next()).value?.outputs).toEqual(["N1"]);
    await server.close();
    const rest = (async () => {
      const outputs: string[] = [];
      for await (const result of results) outputs.push(...result.outputs);
      return outputs;
    })();
    server = await startProtocolServer({ port });
    expect(await rest).toEqual(upper(20).slice(1));
  });

  test("a draining server is left: what it took is answered there, the rest elsewhere", async () => {
    await using leat = new Leat(server.address);
    const gate = new Gate();
    server.behaviour.beforeAnswer = (sequence) => (sequence > 2 ? gate.wait() : undefined);
    const done = collect(leat, numbers(20));
    await until(() => server.streams[0]?.batches.length === 8);
    server.drain();
    await turns(5);
    gate.open();
    expect(await done).toEqual({ sequences: oneTo(20), outputs: upper(20) });
    expect(server.streams).toHaveLength(2);
    const [first, second] = server.streams;
    expect(first?.ended).toBe(true);
    expect(second?.afterSequence).toBe(first?.batches.length);
  });

  test("it gives up after so many tries in a row, and says why", async () => {
    await using leat = new Leat("127.0.0.1:1");
    const reconnect = { maxAttempts: 3, initialMs: 1, maxMs: 2 };
    expect((await thrownBy(collect(leat, ["a"], { reconnect }))).code).toBe(Code.Unavailable);
  });

  test("without reconnecting the first loss ends it", async () => {
    await using leat = new Leat(server.address);
    const results = leat.stream("never", ["a"], { codec, reconnect: { maxAttempts: 0 } });
    const next = thrownBy(results.next());
    await until(() => server.streams[0]?.batches.length === 1);
    server.cutConnections();
    expect((await next).code).toBe(Code.Unavailable);
    expect((await results.next()).done).toBe(true);
  });

  test("an error that a new connection would not heal ends it at once", async () => {
    await using leat = new Leat(server.address);
    expect(
      (await thrownBy(collect(leat, ["a"], { streamId: "s" }).then(() => leat.transform("missing", []))))
        .reason,
    ).toBe("PIPELINE_NOT_FOUND");
    server.behaviour.maxBatchRecords = 0;
    const error = await thrownBy(
      (async () => {
        for await (const { error } of leat.stream("uppercase", ["a"], { codec })) if (error) throw error;
      })(),
    );
    expect(error).toMatchObject({ code: Code.InvalidArgument, reason: "BATCH_TOO_MANY_RECORDS" });
  });
});

describe("a batch that the server refuses", () => {
  test("is sent again after the wait, under a new number, and keeps its place", async () => {
    const refused = new Set<number>();
    await using server = await startProtocolServer({
      refuse: (sequence) => {
        if (sequence !== 2 && sequence !== 4) return undefined;
        refused.add(sequence);
        return { reason: "QUEUE_FULL", code: Code.ResourceExhausted, retryAfterMs: 5 };
      },
    });
    await using leat = new Leat(server.address);
    expect(await collect(leat, numbers(8))).toEqual({ sequences: oneTo(8), outputs: upper(8) });
    expect(refused).toEqual(new Set([2, 4]));
    const sent = server.streams[0]?.batches.map(({ sequence }) => sequence);
    expect(sent).toEqual(oneTo(10));
  });

  test("is given up after so many attempts, as that batch's error", async () => {
    await using server = await startProtocolServer({
      refuse: () => ({ reason: "QUEUE_FULL", code: Code.ResourceExhausted, retryAfterMs: 1 }),
    });
    await using leat = new Leat(server.address);
    const results = leat.stream("uppercase", ["a"], { codec, maxBatchAttempts: 3 });
    const { value: result } = await results.next();
    expect(result?.error).toMatchObject({
      code: Code.ResourceExhausted,
      reason: "QUEUE_FULL",
      retryAfterMs: 1,
    });
    expect(() => result?.outputs).toThrow(LeatCallError);
    expect(server.streams[0]?.batches).toHaveLength(3);
  });

  test("is not sent again where the server gives no time to wait", async () => {
    await using server = await startProtocolServer({
      refuse: (sequence) =>
        sequence === 1 ? { reason: "BATCH_MALFORMED", code: Code.InvalidArgument } : undefined,
    });
    await using leat = new Leat(server.address);
    const errors: (string | undefined)[] = [];
    for await (const { error } of leat.stream("uppercase", ["a", "b"], { codec, batchRecords: 1 }))
      errors.push(error?.reason);
    expect(errors).toEqual(["BATCH_MALFORMED", undefined]);
    expect(server.streams[0]?.batches).toHaveLength(2);
  });

  test("does not run under its old number when the connection is lost while it waits", async () => {
    const gate = new Gate();
    let refusals = 0;
    await using server = await startProtocolServer({
      beforeAnswer: (sequence) => (sequence === 1 ? gate.wait() : undefined),
      refuse: (sequence) =>
        sequence === 2 && refusals++ === 0
          ? { reason: "QUEUE_FULL", code: Code.ResourceExhausted, retryAfterMs: 50 }
          : undefined,
    });
    await using leat = new Leat(server.address);
    const done = collect(leat, numbers(3), { unordered: true });
    await until(() => server.streams[0]?.batches.length === 3 && refusals === 1);
    await turns(5);
    server.cutConnections();
    await until(() => server.streams[1]?.batches.length === 4);
    gate.open();
    const { sequences, outputs } = await done;
    expect(sequences.toSorted()).toEqual([1, 2, 3]);
    expect(outputs.toSorted()).toEqual(upper(3));
    const sent = server.streams[1]?.batches.map(({ records }) => new TextDecoder().decode(records[0]?.value));
    expect(sent).toEqual(["n1", "", "", "n2"]);
  });

  test("survives a reconnect while it waits", async () => {
    let refusals = 0;
    await using server = await startProtocolServer({
      refuse: (sequence) => {
        if (sequence !== 1 || refusals++ > 0) return undefined;
        server.cutConnections();
        return { reason: "QUEUE_FULL", code: Code.ResourceExhausted, retryAfterMs: 1 };
      },
    });
    await using leat = new Leat(server.address);
    expect(await collect(leat, numbers(5))).toEqual({ sequences: oneTo(5), outputs: upper(5) });
  });
});
