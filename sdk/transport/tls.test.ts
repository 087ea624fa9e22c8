import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Code, createClient } from "@connectrpc/connect";
import { ServerCredentials } from "@grpc/grpc-js";
import { TransformService } from "@leat/proto";
import { expect, test } from "vitest";
import { startProtocolServer } from "../test-kit/protocol-server.ts";
import { failure, request } from "../test-kit/requests.ts";
import { createGrpcTransport } from "./grpc-transport.ts";

const tlsFile = (name: string): string => fileURLToPath(new URL(`../test-kit/tls/${name}`, import.meta.url));
const serverPair = {
  private_key: readFileSync(tlsFile("server-key.pem")),
  cert_chain: readFileSync(tlsFile("server-cert.pem")),
};

test("a server with a known certificate is trusted, under the name it was given for", async () => {
  await using server = await startProtocolServer({
    credentials: ServerCredentials.createSsl(null, [serverPair]),
  });
  const ca = tlsFile("server-cert.pem");
  using transport = createGrpcTransport({ address: `https://localhost:${server.port}`, tls: { ca } });
  await createClient(TransformService, transport).transform(request("identity"));
  using renamed = createGrpcTransport({
    address: server.address,
    tls: { ca: readFileSync(ca), serverName: "leat.test" },
  });
  await createClient(TransformService, renamed).transform(request("identity"));
  // An IP address has no name to go by; the certificate lists it.
  using byAddress = createGrpcTransport({ address: server.address, tls: { ca } });
  await createClient(TransformService, byAddress).transform(request("identity"));
  expect(server.unaryCalls).toHaveLength(3);
});

test("a certificate that lists no IP address is refused under one", async () => {
  const file = (name: string): Buffer => readFileSync(tlsFile(name));
  const pair = { private_key: file("client-key.pem"), cert_chain: file("client-cert.pem") };
  await using server = await startProtocolServer({
    credentials: ServerCredentials.createSsl(null, [pair]),
  });
  const tls = { ca: tlsFile("client-cert.pem") };
  using transport = createGrpcTransport({ address: server.address, tls, retry: false });
  const error = await failure(createClient(TransformService, transport).transform(request("identity")));
  expect(error.message).toContain("127.0.0.1");
  expect(server.unaryCalls).toHaveLength(0);
});

test("an unknown certificate, or one for another name, is refused with UNAVAILABLE", async () => {
  await using server = await startProtocolServer({
    credentials: ServerCredentials.createSsl(null, [serverPair]),
  });
  using untrusting = createGrpcTransport({ address: server.address, tls: true, retry: false });
  expect(
    (await failure(createClient(TransformService, untrusting).transform(request("identity")))).code,
  ).toBe(Code.Unavailable);
  using misled = createGrpcTransport({
    address: server.address,
    tls: { ca: tlsFile("server-cert.pem"), serverName: "other.test" },
    retry: false,
  });
  expect((await failure(createClient(TransformService, misled).transform(request("identity")))).code).toBe(
    Code.Unavailable,
  );
  expect(server.unaryCalls).toHaveLength(0);
});

test("a client certificate is shown to a server that asks for one", async () => {
  await using server = await startProtocolServer({
    credentials: ServerCredentials.createSsl(readFileSync(tlsFile("client-cert.pem")), [serverPair], true),
  });
  const ca = tlsFile("server-cert.pem");
  using known = createGrpcTransport({
    address: server.address,
    tls: { ca, cert: tlsFile("client-cert.pem"), key: tlsFile("client-key.pem") },
  });
  await createClient(TransformService, known).transform(request("identity"));
  using unknown = createGrpcTransport({ address: server.address, tls: { ca }, retry: false });
  await failure(createClient(TransformService, unknown).transform(request("identity")));
  expect(server.unaryCalls).toHaveLength(1);
});
