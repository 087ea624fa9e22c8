import { ReadableStream } from "node:stream/web";
import { Code, createRouterTransport } from "@connectrpc/connect";
import { TransformService } from "@leat/proto";
import { describe, expect, test } from "vitest";
import { encodeBatch, json, Leat, LeatCallError, RecordFailedError, record, text } from "./index.ts";
import { until } from "./test-kit/gates.ts";
import { startProtocolServer } from "./test-kit/protocol-server.ts";

const codec = text();

describe("transform", () => {
  test("gives outcomes, outputs and records of one batch", async () => {
    await using server = await startProtocolServer();
    await using leat = new Leat(server.address);
    const result = await leat.transform("words", ["a b", "bad", ""], { codec });
    expect(result.outputs).toEqual(["a", "b"]);
    expect(result.outcomes.map(({ status }) => status)).toEqual(["ok", "failed", "dropped"]);
    expect(result.inputs[1]).toBe("bad");
    expect(result.sequence).toBe(0);
  });

  test("takes plain records, typed ones with a key, and encoded batches", async () => {
    await using server = await startProtocolServer();
    await using leat = new Leat(server.address);
    const plain = await leat.transform("identity", [{ key: "k", value: "v" }]);
    expect(plain.records[0]).toMatchObject({ key: new TextEncoder().encode("k") });
    const typed = await leat.transform("identity", [record({ n: 1 }, { key: "k" })], {
      codec: json<{ n: number }>(),
    });
    expect(typed.outputs).toEqual([{ n: 1 }]);
    expect(typed.records[0]?.key).toEqual(new TextEncoder().encode("k"));
    const encoded = await leat.transform("uppercase", encodeBatch(["a"], { codec }), { codec });
    expect(encoded.outputs).toEqual(["A"]);
  });

  test("takes a chain of modules in place of a pipeline", async () => {
    await using server = await startProtocolServer();
    await using leat = new Leat(server.address);
    expect((await leat.transform({ modules: ["uppercase"] }, ["a"], { codec })).outputs).toEqual(["A"]);
  });

  test.each([
    ["missing", { code: Code.NotFound, reason: "PIPELINE_NOT_FOUND", metadata: { pipeline: "missing" } }],
    ["busy", { code: Code.ResourceExhausted, reason: "QUEUE_FULL", retryAfterMs: 250 }],
    [
      "invalid",
      { code: Code.InvalidArgument, violations: [{ field: "target", description: "must be given" }] },
    ],
  ])("fails on %s with what the server said for programs", async (pipeline, expected) => {
    await using server = await startProtocolServer();
    await using leat = new Leat({ address: server.address, retry: false });
    const error = await leat.transform(pipeline, ["a"], { codec }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(LeatCallError);
    expect(error).toMatchObject(expected);
    expect((error as LeatCallError).cause).toMatchObject({ name: "ConnectError" });
  });

  test("obeys its deadline and its signal, and sends its headers", async () => {
    await using server = await startProtocolServer();
    await using leat = new Leat(server.address);
    const late = leat.transform("never", ["a"], { codec, timeoutMs: 20, headers: { "x-who": "me" } });
    await expect(late).rejects.toMatchObject({ code: Code.DeadlineExceeded });
    expect(server.unaryCalls[0]?.metadata.get("x-who")).toEqual(["me"]);
    const controller = new AbortController();
    const given = leat.transform("never", ["a"], { codec, signal: controller.signal });
    await until(() => server.unaryCalls.length === 2);
    controller.abort();
    await expect(given).rejects.toMatchObject({ code: Code.Canceled });
  });

  test("names the value that cannot be encoded, and sends nothing", async () => {
    await using server = await startProtocolServer();
    await using leat = new Leat(server.address);
    await expect(leat.transform("identity", [1, 2n], { codec: json<unknown>() })).rejects.toMatchObject({
      name: "EncodeError",
      index: 1,
    });
    expect(server.unaryCalls).toHaveLength(0);
  });

  test("runs over any Connect transport", async () => {
    const transport = createRouterTransport(({ service }) => {
      service(TransformService, { transform: ({ batch }) => ({ result: { ...(batch && { batch }) } }) });
    });
    await using leat = new Leat({ transport });
    expect((await leat.transform("any", ["a"], { codec })).outputs).toEqual(["a"]);
  });
});

describe("transformStream", () => {
  test("pipes values through, and tells of failures", async () => {
    await using server = await startProtocolServer();
    await using leat = new Leat(server.address);
    const failed: unknown[] = [];
    const words = ReadableStream.from(["a b", "bad", "c"]).pipeThrough(
      leat.transformStream("words", { codec, onFailure: ({ code }, input) => failed.push([code, input]) }),
    );
    expect(await Array.fromAsync(words)).toEqual(["a", "b", "c"]);
    expect(failed).toEqual([["bad_word", "bad"]]);
  });

  test("ends with the first failure when nobody is told of failures", async () => {
    await using server = await startProtocolServer();
    await using leat = new Leat(server.address);
    const words = ReadableStream.from(["bad"]).pipeThrough(leat.transformStream("words", { codec }));
    await expect(Array.fromAsync(words)).rejects.toMatchObject({
      name: "RecordFailedError",
      input: "bad",
      failure: { code: "bad_word" },
    });
    await expect(Array.fromAsync(words)).rejects.toBeInstanceOf(RecordFailedError);
  });

  test("holds its writer while nobody reads", async () => {
    await using server = await startProtocolServer({ window: 2 });
    await using leat = new Leat(server.address);
    const { readable, writable } = leat.transformStream("uppercase", { codec, batchRecords: 1 });
    let given = 0;
    const source = new ReadableStream<string>(
      {
        pull(controller) {
          given++;
          if (given > 50) controller.close();
          else controller.enqueue(`v${given}`);
        },
      },
      { highWaterMark: 0 },
    );
    const piped = source.pipeTo(writable);
    const reader = readable.getReader();
    expect((await reader.read()).value).toBe("V1");
    await until(() => server.streams[0]?.batches.length === 3);
    expect(given).toBeLessThan(8);
    let read = 1;
    while (!(await reader.read()).done) read++;
    expect(read).toBe(50);
    await piped;
  });

  test("cancelling the readable side ends the call", async () => {
    await using server = await startProtocolServer();
    await using leat = new Leat(server.address);
    const { readable, writable } = leat.transformStream("uppercase", { codec });
    const writer = writable.getWriter();
    void writer.write("a").catch(() => {});
    const reader = readable.getReader();
    expect((await reader.read()).value).toBe("A");
    await reader.cancel();
    await until(() => server.cancelled === 1);
  });

  test("an error of the source reaches the reader", async () => {
    await using server = await startProtocolServer();
    await using leat = new Leat(server.address);
    const problem = new Error("the disk is gone");
    async function* source() {
      yield "a";
      throw problem;
    }
    const reader = ReadableStream.from(source())
      .pipeThrough(leat.transformStream("uppercase", { codec }))
      .getReader();
    await expect(
      (async () => {
        while (!(await reader.read()).done);
      })(),
    ).rejects.toBe(problem);
  });
});

describe("the typed clients of a Leat", () => {
  test("throw LeatCallErrors", async () => {
    await using server = await startProtocolServer();
    await using leat = new Leat(server.address);
    const error = await leat.modules.listModules({}).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(LeatCallError);
    expect(error).toMatchObject({ code: Code.Unimplemented });
  });

  test("end a server stream when its loop is left", async () => {
    await using server = await startProtocolServer();
    await using leat = new Leat(server.address);
    for await (const { snapshot } of leat.metrics.watchMetrics({ intervalMs: 1 })) {
      expect(snapshot?.pool?.workers).toBe(1);
      break;
    }
    await until(() => server.watchers === 0);
  });
});

describe("connecting", () => {
  test("connect resolves with a server, and fails with UNAVAILABLE without one", async () => {
    await using server = await startProtocolServer();
    await using leat = new Leat({ addresses: [server.address] });
    await leat.connect(5_000);
    expect(server.connections).toBe(1);
    await using nowhere = new Leat("127.0.0.1:1");
    await expect(nowhere.connect(20)).rejects.toMatchObject({ code: Code.Unavailable });
  });

  test("close gives the connections up, however often it is called", async () => {
    await using server = await startProtocolServer();
    const leat = new Leat(server.address);
    await leat.connect(5_000);
    await Promise.all([leat.close(), leat.close()]);
    await until(() => server.connections === 0);
  });
});
