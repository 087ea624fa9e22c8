import { Code, createClient } from "@connectrpc/connect";
import { TransformService } from "@leat/proto";
import { expect, test } from "vitest";
import { startProtocolServer } from "../test-kit/protocol-server.ts";
import { request } from "../test-kit/requests.ts";
import { createGrpcTransport } from "./grpc-transport.ts";
import type { GrpcTransportOptions } from "./options.ts";

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
