import type { Interceptor } from "@connectrpc/connect";
import { Code } from "@connectrpc/connect";
import { createGrpcTransport as createNodeTransport } from "@connectrpc/connect-node";
import { expect, test } from "vitest";
import { createGrpcTransport, json, Leat, text } from "./index.ts";
import { startProtocolServer } from "./test-kit/protocol-server.ts";
import { collect, fast, numbers, oneTo, upper } from "./test-kit/stream-runs.ts";

test("a Leat streams over another transport: it sees ordinary messages", async () => {
  await using server = await startProtocolServer();
  const transport = createNodeTransport({ baseUrl: `http://${server.address}` });
  await using leat = new Leat({ transport });
  expect((await leat.transform("uppercase", ["a"], { codec: text() })).outputs).toEqual(["A"]);
  expect(await collect(leat, numbers(30))).toEqual({ sequences: oneTo(30), outputs: upper(30) });
});

test.each(["destroy", "resetAndDestroy"] as const)(
  "a stream over another transport survives connections that are cut with %s",
  async (how) => {
    await using server = await startProtocolServer();
    const transport = createNodeTransport({ baseUrl: `http://${server.address}` });
    await using leat = new Leat({ transport });
    const outputs: string[] = [];
    const options = { codec: text(), batchRecords: 1, ...fast };
    for await (const result of leat.stream("uppercase", numbers(60), options)) {
      outputs.push(...result.outputs);
      if (result.sequence % 20 === 10) server.cutConnections(how);
    }
    expect(outputs).toEqual(upper(60));
    expect(server.streams.length).toBeGreaterThan(2);
  },
);

test("a Leat streams through interceptors, which see the batches", async () => {
  await using server = await startProtocolServer();
  const seen: bigint[] = [];
  const watch: Interceptor = (next) => (req) => {
    if (!req.stream) return next(req);
    async function* watched(messages: AsyncIterable<unknown>) {
      for await (const message of messages as AsyncIterable<{ message: { value: { sequence?: bigint } } }>) {
        if (message.message.value.sequence) seen.push(message.message.value.sequence);
        yield message;
      }
    }
    return next({ ...req, message: watched(req.message) as typeof req.message });
  };
  await using leat = new Leat({ address: server.address, interceptors: [watch] });
  expect((await leat.transform("uppercase", ["a"], { codec: text() })).outputs).toEqual(["A"]);
  expect((await collect(leat, numbers(10))).outputs).toEqual(upper(10));
  expect(seen).toEqual(oneTo(10).map(BigInt));
});

test("a closed client refuses calls with FAILED_PRECONDITION", async () => {
  await using server = await startProtocolServer();
  const leat = new Leat(server.address);
  await leat.close();
  await expect(leat.transform("uppercase", [])).rejects.toMatchObject({ code: Code.FailedPrecondition });
});

test("a closed transport ends streams that want to reconnect over it", async () => {
  await using server = await startProtocolServer();
  const transport = createGrpcTransport({ address: server.address });
  await using leat = new Leat({ transport });
  transport.close();
  const stream = leat.stream("uppercase", [1], { codec: json<number>() });
  await expect(stream.next()).rejects.toMatchObject({ code: Code.FailedPrecondition });
});
