import { Code } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { encodeBatch, json, Leat, text } from "../index.ts";
import { Gate, turns, until } from "../test-kit/gates.ts";
import { startProtocolServer } from "../test-kit/protocol-server.ts";
import { collect, numbers, oneTo, thrownBy, upper } from "../test-kit/stream-runs.ts";

const codec = text();

describe("a stream", () => {
  test("gives every result once, in order, and half-closes", async () => {
    await using server = await startProtocolServer();
    await using leat = new Leat(server.address);
    expect(await collect(leat, numbers(100))).toEqual({ sequences: oneTo(100), outputs: upper(100) });
    await until(() => server.streams[0]?.ended === true);
    expect(server.streams).toHaveLength(1);
    expect(server.cancelled).toBe(0);
  });

  test("ends at once for a source without records", async () => {
    await using server = await startProtocolServer();
    await using leat = new Leat(server.address);
    expect(await collect(leat, [])).toEqual({ sequences: [], outputs: [] });
  });

  test("gathers single records into batches, keeps arrays as batches, and takes encoded ones", async () => {
    await using server = await startProtocolServer();
    await using leat = new Leat(server.address);
    async function* source() {
      yield "a";
      yield "b";
      yield "c";
      yield ["d", "e", "f"];
      yield "g";
      yield encodeBatch(["h"], { codec });
      yield [];
      yield "i";
    }
    const seen: [readonly unknown[], readonly string[]][] = [];
    const options = { codec, batchRecords: 2, lingerMs: 10_000 };
    for await (const { inputs, outputs } of leat.stream("uppercase", source(), options))
      seen.push([inputs, outputs]);
    expect(seen).toEqual([
      [
        ["a", "b"],
        ["A", "B"],
      ],
      [["c"], ["C"]],
      [
        ["d", "e", "f"],
        ["D", "E", "F"],
      ],
      [["g"], ["G"]],
      [[], ["H"]],
      [["i"], ["I"]],
    ]);
  });

  test("sends a partial batch when its source has been quiet for lingerMs", async () => {
    await using server = await startProtocolServer();
    await using leat = new Leat(server.address);
    const gate = new Gate();
    async function* source() {
      yield "first";
      await gate.wait();
      yield "second";
    }
    const results = leat.stream("uppercase", source(), { codec, lingerMs: 1 });
    expect((await results.next()).value?.outputs).toEqual(["FIRST"]);
    gate.open();
    expect((await results.next()).value?.outputs).toEqual(["SECOND"]);
    expect((await results.next()).done).toBe(true);
  });

  test("cuts batches to the limits that the server opened it with", async () => {
    await using server = await startProtocolServer({ maxBatchRecords: 3, maxBatchBytes: 60 });
    await using leat = new Leat(server.address);
    const small = leat.stream("identity", [numbers(8)], { codec });
    const counts: number[] = [];
    for await (const { inputCount } of small) counts.push(inputCount);
    expect(counts).toEqual([3, 3, 2]);
    const large = leat.stream("identity", ["x".repeat(30), "y".repeat(30), "z".repeat(30)], { codec });
    const sizes: number[] = [];
    for await (const { inputCount } of large) sizes.push(inputCount);
    expect(sizes).toEqual([1, 1, 1]);
  });

  test("answers a record that no batch can hold in band, and goes on", async () => {
    await using server = await startProtocolServer({ maxBatchBytes: 60 });
    await using leat = new Leat(server.address);
    const results = leat.stream("identity", ["a", "x".repeat(100), "b"], { codec, batchRecords: 1 });
    const seen: string[] = [];
    for await (const { error, outcomes } of results) seen.push(error?.reason ?? outcomes[0]?.status ?? "");
    expect(seen).toEqual(["ok", "BATCH_TOO_LARGE", "ok"]);
  });

  test("gives failures and drops with their inputs, and never ends over them", async () => {
    await using server = await startProtocolServer();
    await using leat = new Leat(server.address);
    const seen: string[] = [];
    for await (const result of leat.stream("words", ["a b", "bad", "", "c"], { codec, batchRecords: 2 })) {
      for (const [index, { status }] of result.outcomes.entries())
        seen.push(`${String(result.inputs[index])}:${status}`);
    }
    expect(seen).toEqual(["a b:ok", "bad:failed", ":dropped", "c:ok"]);
  });

  test("keeps tombstones, empty values, keys, headers and timestamps", async () => {
    await using server = await startProtocolServer();
    await using leat = new Leat(server.address);
    const headers = [
      { key: "h", value: "1" },
      { key: "h", value: "2" },
    ];
    const source = [
      { key: "k", headers, timestampMs: 5 },
      { key: "", value: "" },
    ];
    for await (const { records } of leat.stream("identity", [source])) {
      const utf8 = new TextEncoder();
      expect(records).toEqual([
        {
          key: utf8.encode("k"),
          value: undefined,
          headers: headers.map(({ key, value }) => ({ key, value: utf8.encode(value) })),
          timestampMs: 5,
        },
        { key: new Uint8Array(), value: new Uint8Array(), headers: [], timestampMs: 0 },
      ]);
    }
  });
});

describe("back-pressure", () => {
  test("a consumer that takes nothing more holds the source at the window", async () => {
    await using server = await startProtocolServer({ window: 4 });
    await using leat = new Leat(server.address);
    let pulled = 0;
    async function* source() {
      for (const name of numbers(100)) {
        pulled++;
        yield name;
      }
    }
    const results = leat.stream("uppercase", source(), { codec, batchRecords: 1 });
    await results.next();
    await until(() => pulled === 5);
    await turns(50);
    expect(pulled).toBe(5);
    for (let taken = 0; taken < 10; taken++) await results.next();
    await until(() => pulled === 15);
    await turns(50);
    expect(pulled).toBe(15);
    await results.return();
  });

  test.each([
    [3, 100],
    [100, 4],
  ])("never more than min(wanted %i, server's %i) batches are unanswered", async (wanted, allowed) => {
    const gate = new Gate();
    const window = Math.min(wanted, allowed);
    await using server = await startProtocolServer({ window: allowed, beforeAnswer: () => gate.wait() });
    await using leat = new Leat(server.address);
    const done = collect(leat, numbers(30), { window: wanted });
    await until(() => server.streams[0]?.batches.length === window);
    await turns(50);
    expect(server.streams[0]?.batches).toHaveLength(window);
    gate.open();
    expect((await done).outputs).toEqual(upper(30));
    expect(server.streams[0]?.maxUnanswered).toBe(window);
  });
});

describe("ending a stream early", () => {
  test("an abort ends it with the signal's reason, on the server too, and releases the source", async () => {
    await using server = await startProtocolServer();
    await using leat = new Leat(server.address);
    const controller = new AbortController();
    let released = false;
    async function* source() {
      try {
        for (const name of numbers(100)) yield name;
      } finally {
        released = true;
      }
    }
    const { signal } = controller;
    const next = thrownBy(leat.stream("never", source(), { codec, signal, batchRecords: 1 }).next());
    await until(() => (server.streams[0]?.batches.length ?? 0) > 2);
    const reason = new Error("enough");
    controller.abort(reason);
    expect(await next).toMatchObject({ code: Code.Canceled, message: "enough", cause: reason });
    await until(() => server.cancelled === 1 && released);
  });

  test("a signal that has aborted already connects nothing", async () => {
    await using server = await startProtocolServer();
    await using leat = new Leat(server.address);
    const results = leat.stream("uppercase", ["a"], { codec, signal: AbortSignal.abort() });
    expect((await thrownBy(results.next())).code).toBe(Code.Canceled);
    expect(server.connections).toBe(0);
  });

  test("a deadline ends it with DEADLINE_EXCEEDED", async () => {
    await using server = await startProtocolServer();
    await using leat = new Leat(server.address);
    expect((await thrownBy(leat.stream("never", ["a"], { codec, timeoutMs: 50 }).next())).code).toBe(
      Code.DeadlineExceeded,
    );
  });

  test("leaving the loop cancels the call and releases the source", async () => {
    await using server = await startProtocolServer();
    await using leat = new Leat(server.address);
    let released = false;
    async function* source() {
      try {
        for (;;) yield "a";
      } finally {
        released = true;
      }
    }
    for await (const _ of leat.stream("uppercase", source(), { codec })) break;
    await until(() => server.cancelled === 1 && released);
  });

  test("a source that throws is heard after the results of what it gave before", async () => {
    await using server = await startProtocolServer();
    await using leat = new Leat(server.address);
    const problem = new Error("the disk is gone");
    async function* source() {
      yield "a";
      yield "b";
      throw problem;
    }
    const outputs: string[] = [];
    const read = async (): Promise<void> => {
      for await (const result of leat.stream("uppercase", source(), { codec }))
        outputs.push(...result.outputs);
    };
    await expect(read()).rejects.toBe(problem);
    expect(outputs).toEqual(["A", "B"]);
  });

  test("a value that cannot be encoded lets a generator end", async () => {
    await using server = await startProtocolServer();
    await using leat = new Leat(server.address);
    let released = false;
    function* source() {
      try {
        for (;;) yield 2n as unknown as number;
      } finally {
        released = true;
      }
    }
    const results = leat.stream("identity", source(), { codec: json<number>() });
    await expect(results.next()).rejects.toThrow("cannot encode record 0");
    expect(released).toBe(true);
  });

  test("a value that cannot be encoded ends it the same way", async () => {
    await using server = await startProtocolServer();
    await using leat = new Leat(server.address);
    const results = leat.stream("identity", [1, 2n as unknown as number], { codec: json<number>() });
    expect((await results.next()).value?.outputs).toEqual([1]);
    await expect(results.next()).rejects.toThrow("cannot encode record 1");
  });

  test("closing the client ends its streams", async () => {
    await using server = await startProtocolServer();
    const leat = new Leat(server.address);
    const next = thrownBy(leat.stream("never", ["a"], { codec }).next());
    await until(() => server.streams[0]?.batches.length === 1);
    await leat.close();
    expect((await next).message).toBe("the client was closed");
    expect((await thrownBy(leat.stream("uppercase", ["a"], { codec }).next())).message).toBe(
      "the client is closed",
    );
  });

  test("a stream that nobody reads connects nothing", async () => {
    await using server = await startProtocolServer();
    await using leat = new Leat(server.address);
    leat.stream("uppercase", ["a"], { codec });
    await turns(10);
    expect(server.connections).toBe(0);
  });
});
