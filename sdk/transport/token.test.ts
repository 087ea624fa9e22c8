import { Code, createClient } from "@connectrpc/connect";
import { TransformService } from "@leat/proto";
import { expect, test } from "vitest";
import { turns } from "../test-kit/gates.ts";
import { startProtocolServer } from "../test-kit/protocol-server.ts";
import { failure, opening, request } from "../test-kit/requests.ts";
import { createGrpcTransport } from "./grpc-transport.ts";
import type { GrpcTransportOptions } from "./options.ts";

async function* requests() {
  yield opening("identity");
}

test("each call carries the token that its source gives then", async () => {
  await using server = await startProtocolServer();
  let asked = 0;
  using transport = createGrpcTransport({ address: server.address, token: async () => `t${++asked}` });
  const client = createClient(TransformService, transport);
  await client.transform(request("identity"));
  await client.transform(request("identity"));
  using constant = createGrpcTransport({ address: server.address, token: "same" });
  await createClient(TransformService, constant).transform(request("identity"));
  expect(server.unaryCalls.map(({ metadata }) => metadata.get("authorization"))).toEqual([
    ["Bearer t1"],
    ["Bearer t2"],
    ["Bearer same"],
  ]);
});

test("a source that fails fails the call, and nothing is sent", async () => {
  await using server = await startProtocolServer();
  const token = () => Promise.reject(new Error("no token today"));
  using transport = createGrpcTransport({ address: server.address, token });
  const client = createClient(TransformService, transport);
  await expect(client.transform(request("identity"))).rejects.toMatchObject({
    code: Code.Unavailable,
    message: expect.stringContaining("no token today"),
  });
  expect(server.unaryCalls).toHaveLength(0);
});

test("a call that its caller gives up, or whose deadline passes, waits for no token", async () => {
  await using server = await startProtocolServer();
  const asked = Promise.withResolvers<void>();
  const token = (): Promise<string> => {
    asked.resolve();
    return new Promise(() => {});
  };
  using transport = createGrpcTransport({ address: server.address, token });
  const client = createClient(TransformService, transport);
  await expect(client.transform(request("identity"), { timeoutMs: 20 })).rejects.toMatchObject({
    code: Code.DeadlineExceeded,
  });
  const controller = new AbortController();
  const { signal } = controller;
  const call = failure(client.transform(request("identity"), { signal }));
  const stream = failure(Array.fromAsync(client.streamTransform(requests(), { signal })));
  await asked.promise;
  controller.abort(new Error("enough"));
  expect(await call).toMatchObject({ code: Code.Canceled, rawMessage: "enough" });
  expect(await stream).toMatchObject({ code: Code.Canceled, rawMessage: "enough" });
  const late = failure(Array.fromAsync(client.streamTransform(requests(), { timeoutMs: 20 })));
  expect(await late).toMatchObject({ code: Code.DeadlineExceeded });
  expect(server.connections).toBe(0);
});

test("a source that is not asked any more may fail unheard", async () => {
  const gate = Promise.withResolvers<string>();
  using transport = createGrpcTransport({ address: "127.0.0.1:1", token: () => gate.promise });
  const call = createClient(TransformService, transport).transform(request("identity"), { timeoutMs: 5 });
  await expect(call).rejects.toMatchObject({ code: Code.DeadlineExceeded });
  gate.reject(new Error("too late"));
  await turns(2);
});

test.each<[string, GrpcTransportOptions, boolean]>([
  ["to another machine without TLS", { address: "leat.example.com:7070" }, false],
  ["to an address of another machine", { addresses: ["127.0.0.1:1", "10.0.0.1:1"] }, false],
  ["to a name that only grpc-js understands", { address: "dns:///leat.example.com:7070" }, false],
  ["over TLS", { address: "https://leat.example.com:7070" }, true],
  ["over TLS by option", { address: "leat.example.com:7070", tls: true }, true],
  ["on this machine", { addresses: ["127.0.0.1:1", "127.0.0.1:2"] }, true],
  ["to a socket of this machine", { address: "unix:/run/leat.sock" }, true],
  ["in the clear where that is meant", { address: "leat.example.com:7070", insecureToken: true }, true],
])("a token is sent %s: %s", (_, options, sent) => {
  const make = (): void => createGrpcTransport({ ...options, token: "secret" }).close();
  if (sent) expect(make).not.toThrow();
  else expect(make).toThrow(/in the clear; set tls, or insecureToken/);
});
