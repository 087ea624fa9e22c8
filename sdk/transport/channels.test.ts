import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { TransformService } from "@leat/proto";
import { expect, test } from "vitest";
import { until } from "../test-kit/gates.ts";
import { startProtocolServer } from "../test-kit/protocol-server.ts";
import { failure, request } from "../test-kit/requests.ts";
import { createGrpcTransport } from "./grpc-transport.ts";

const utf8 = new TextEncoder();

test("round_robin spreads calls over two addresses", async () => {
  await using first = await startProtocolServer();
  await using second = await startProtocolServer();
  using transport = createGrpcTransport({ addresses: [first.address, second.address] });
  const client = createClient(TransformService, transport);
  await client.transform(request("identity"));
  await until(() => first.connections + second.connections === 2);
  for (let call = 0; call < 20; call++) await client.transform(request("identity"));
  expect(first.unaryCalls.length).toBeGreaterThan(5);
  expect(second.unaryCalls.length).toBeGreaterThan(5);
});

test("host names are balanced over as well, and one that is down is passed over", async () => {
  await using first = await startProtocolServer();
  await using second = await startProtocolServer();
  const addresses = [first, second].map(({ port }) => `localhost:${port}`);
  using transport = createGrpcTransport({ addresses, retry: { maxAttempts: 5 } });
  expect(transport.target).toContain(" ");
  const client = createClient(TransformService, transport);
  for (let call = 0; call < 4; call++) await client.transform(request("identity"));
  expect([first.unaryCalls.length, second.unaryCalls.length]).toEqual([2, 2]);
  await first.close();
  // The channel learns of the loss from a call at the latest.
  await failure(client.transform(request("identity")).then(() => Promise.reject(new ConnectError("over"))));
  for (let call = 0; call < 4; call++) await client.transform(request("identity"));
  expect(first.unaryCalls.length).toBe(2);
});

test("pick_first stays with one address", async () => {
  await using first = await startProtocolServer();
  await using second = await startProtocolServer();
  const addresses = [first.address, second.address];
  using transport = createGrpcTransport({ addresses, loadBalancing: "pick_first" });
  const client = createClient(TransformService, transport);
  for (let call = 0; call < 6; call++) await client.transform(request("identity"));
  expect([first.unaryCalls.length, second.unaryCalls.length].toSorted()).toEqual([0, 6]);
});

test("the retry policy tries UNAVAILABLE again, so often and no more", async () => {
  await using server = await startProtocolServer({ unavailable: 2 });
  const retry = { maxAttempts: 3, initialMs: 1, maxMs: 2 };
  using transport = createGrpcTransport({ address: server.address, retry });
  const client = createClient(TransformService, transport);
  await client.transform(request("identity"));
  expect(server.unaryCalls.map(({ metadata }) => metadata.get("grpc-previous-rpc-attempts"))).toEqual([
    [],
    ["1"],
    ["2"],
  ]);
  server.behaviour.unavailable = 3;
  expect((await failure(client.transform(request("identity")))).code).toBe(Code.Unavailable);
  expect(server.unaryCalls).toHaveLength(6);
});

test("gzip makes large messages small on the wire, and the server understands them", async () => {
  await using server = await startProtocolServer();
  using transport = createGrpcTransport({ address: server.address, compression: "gzip" });
  const client = createClient(TransformService, transport);
  const response = await client.transform(request("uppercase", "mill".repeat(5_000)));
  expect(response.result?.batch?.records[0]?.value).toEqual(utf8.encode("MILL".repeat(5_000)));
  expect(server.receivedBytes).toBeLessThan(2_000);
});

test("gzip leaves messages below compressMinBytes alone", async () => {
  await using server = await startProtocolServer();
  const options = { address: server.address, compression: "gzip", compressMinBytes: 100_000 } as const;
  using transport = createGrpcTransport(options);
  await createClient(TransformService, transport).transform(request("uppercase", "mill".repeat(5_000)));
  expect(server.receivedBytes).toBeGreaterThan(20_000);
});

test("messages over the limits are refused with RESOURCE_EXHAUSTED", async () => {
  await using server = await startProtocolServer();
  using small = createGrpcTransport({ address: server.address, maxReceiveMessageBytes: 50 });
  const large = request("identity", "m".repeat(100));
  expect((await failure(createClient(TransformService, small).transform(large))).code).toBe(
    Code.ResourceExhausted,
  );
  using narrow = createGrpcTransport({ address: server.address, maxSendMessageBytes: 50 });
  expect((await failure(createClient(TransformService, narrow).transform(large))).code).toBe(
    Code.ResourceExhausted,
  );
});

test("ready resolves with a server, and rejects without one", async () => {
  await using server = await startProtocolServer();
  using transport = createGrpcTransport({ address: server.address });
  await transport.ready(5_000);
  expect(server.connections).toBe(1);
  using nowhere = createGrpcTransport({ address: "127.0.0.1:1" });
  await expect(nowhere.ready(20)).rejects.toThrow();
});

test("close gives the connection up", async () => {
  await using server = await startProtocolServer();
  const transport = createGrpcTransport({ address: server.address });
  await transport.ready(5_000);
  transport.close();
  await until(() => server.connections === 0);
});
