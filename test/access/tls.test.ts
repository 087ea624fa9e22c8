/** TLS on both ports: certificates that change under traffic, and client certificates that say who calls. */

import { once } from "node:events";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { connect as connectTls } from "node:tls";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { TransformService } from "@leat/proto";
import { Leat } from "@leat/sdk";
import { expect, test } from "vitest";
import { systemClock } from "../../server/clock.ts";
import { createLogger } from "../../server/telemetry/logger.ts";
import { AccessFolder, startGuarded } from "../kit/access.ts";
import { makeAuthority, type TestCertificate } from "../kit/certificates.ts";
import { request } from "../kit/records.ts";
import { startTestServer, type TestServer } from "../kit/test-server.ts";
import { until } from "../kit/until.ts";

const modules = { program: "program" };
const authority = makeAuthority();

/** Writes a certificate and its key. */
function put(folder: AccessFolder, { cert, key }: TestCertificate): { cert: string; key: string } {
  return { cert: folder.write("tls.crt", cert), key: folder.write("tls.key", key) };
}

/** The name in the certificate that a port shows, and the protocol that it chooses. */
async function shownOn(
  port: number | undefined,
  offers: string[] = ["h2"],
): Promise<[name: string, protocol: unknown]> {
  const socket = connectTls({
    host: "127.0.0.1",
    port: port ?? 0,
    ca: authority.cert,
    ALPNProtocols: offers,
  });
  await once(socket, "secureConnect");
  const { subject } = socket.getPeerCertificate();
  socket.destroy();
  return [String(subject.CN), socket.alpnProtocol];
}

async function startTls(
  folder: AccessFolder,
  certificate: TestCertificate,
  log: (line: string) => void = () => undefined,
): Promise<TestServer> {
  const files = put(folder, certificate);
  const tls = { ...files, clientCa: undefined, clientAuth: "required" as const };
  const logger = createLogger({ level: "info", destination: { write: log } });
  return startTestServer({
    modules,
    http: true,
    limits: { accessCheckMs: 10 },
    server: { tls, logger },
    client: { tls: { ca: folder.write("ca.crt", authority.cert), serverName: "server.test" } },
  });
}

test("both ports speak TLS, and the HTTP port either version of HTTP", async () => {
  using folder = new AccessFolder();
  await using kit = await startTls(folder, authority.issue("server.test"));
  expect((await kit.leat.transform("program", [{ value: "ma" }])).records).toHaveLength(1);
  expect(await shownOn(kit.server.grpcPort)).toEqual(["server.test", "h2"]);
  expect(await shownOn(kit.server.httpPort)).toEqual(["server.test", "h2"]);
  expect(await shownOn(kit.server.httpPort, ["http/1.1"])).toEqual(["server.test", "http/1.1"]);
  const baseUrl = `https://127.0.0.1:${kit.server.httpPort}`;
  const nodeOptions = { ca: authority.cert };
  for (const httpVersion of ["1.1", "2"] as const) {
    const transport = createConnectTransport({ baseUrl, httpVersion, nodeOptions });
    const { result } = await createClient(TransformService, transport).transform(request("program", "ma"));
    expect(result?.batch?.records).toHaveLength(1);
  }
  expect(kit.server.stats.access.certificateExpiresMs).toBeGreaterThan(Date.now());
});

test("a certificate that changes is shown to new connections, while a stream goes on over the old one", async () => {
  using folder = new AccessFolder();
  const lines: string[] = [];
  await using kit = await startTls(folder, authority.issue("server.test"), (line) => lines.push(line));
  const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  async function* source(): AsyncGenerator<{ value: string }[]> {
    yield [{ value: "ma" }];
    await gates[0]?.promise;
    yield [{ value: "mb" }];
    await gates[1]?.promise;
    yield [{ value: "mc" }];
  }
  const results = kit.leat
    .stream("program", source(), { reconnect: { maxAttempts: 0 } })
    [Symbol.asyncIterator]();
  expect((await results.next()).done).toBe(false);

  put(folder, authority.issue("renewed.test"));
  for (const port of [kit.server.grpcPort, kit.server.httpPort]) {
    await until(async () => (await shownOn(port))[0] === "renewed.test", "the new certificate is shown");
  }
  gates[0]?.resolve();
  expect((await results.next()).done).toBe(false);

  // Of no use: no certificate at all, a key of another, one that has expired.
  const expiresAtMs = kit.server.stats.access.certificateExpiresMs;
  folder.write("tls.crt", "this is no certificate\n");
  await kit.server.checkAccessFiles();
  folder.write("tls.crt", authority.issue("other.test").cert);
  await kit.server.checkAccessFiles();
  put(folder, authority.issue("late.test", { notAfter: new Date(Date.now() - 1_000) }));
  await kit.server.checkAccessFiles();
  expect(kit.server.stats.access.certificateExpiresMs).toBe(expiresAtMs);
  const problems = lines.map((line) => JSON.parse(line)).filter(({ level }) => level === "error");
  // A certificate and its key are two files: who looks between the two writes finds what the second write ends.
  expect([...new Set(problems.map(({ problem }) => problem))]).toEqual([
    expect.stringContaining("is no certificate in PEM"),
    expect.stringContaining("cannot be used together"),
    expect.stringContaining("the certificate expired on"),
  ]);
  expect(lines.join("\n")).not.toContain("PRIVATE KEY");
  expect(await shownOn(kit.server.grpcPort)).toEqual(["renewed.test", "h2"]);
  expect(await shownOn(kit.server.httpPort)).toEqual(["renewed.test", "h2"]);

  put(folder, authority.issue("mended.test"));
  await until(
    async () => (await shownOn(kit.server.grpcPort))[0] === "mended.test",
    "the mended one is shown",
  );
  gates[1]?.resolve();
  expect((await results.next()).done).toBe(false);
  expect((await results.next()).done).toBe(true);
});

test("a server does not start with a certificate that it cannot use", async () => {
  using folder = new AccessFolder();
  const expired = authority.issue("server.test", { notAfter: new Date(Date.now() - 1_000) });
  await expect(startTls(folder, expired)).rejects.toThrow(/tls\.crt: the certificate expired on/);
  const { cert } = authority.issue("server.test");
  await expect(startTls(folder, { cert, key: authority.key })).rejects.toThrow(/cannot be used together/);
});

test("a client certificate says who calls, on both ports; one that nobody vouches for gets no connection", async () => {
  using folder = new AccessFolder();
  const files = put(folder, authority.issue("server.test"));
  const ca = folder.write("ca.crt", authority.cert);
  const owned = authority.issue("client", { uris: ["spiffe://test/narrow"] });
  const unknown = authority.issue("client", { uris: ["spiffe://test/other"] });
  const stranger = makeAuthority("Strangers").issue("client", { uris: ["spiffe://test/narrow"] });
  const tls = { ...files, clientCa: ca, clientAuth: "required" as const };
  let aheadMs = 0;
  await using server = await startGuarded({
    clock: { nowMs: systemClock.nowMs, wallMs: () => systemClock.wallMs() + aheadMs },
    server: { tls },
    client: {
      tls: { ca, cert: Buffer.from(unknown.cert), key: Buffer.from(unknown.key), serverName: "server.test" },
    },
  });
  const { kit, tokens } = server;
  await kit.load("program", "program");
  await kit.put("mine", ["program"]);

  const grpc = async ({ cert, key }: TestCertificate, token?: string): Promise<string> => {
    await using leat = new Leat({
      address: kit.address,
      tls: { ca, cert: Buffer.from(cert), key: Buffer.from(key), serverName: "server.test" },
      retry: false,
      ...(token !== undefined && { token }),
    });
    return await leat.transform("mine", [{ value: "ma" }]).then(
      () => "in",
      (error) => error.reason || Code[error.code],
    );
  };
  const connect = async ({ cert, key }: TestCertificate, httpVersion: "1.1" | "2"): Promise<string> => {
    const baseUrl = `https://127.0.0.1:${kit.server.httpPort}`;
    const transport = createConnectTransport({
      baseUrl,
      httpVersion,
      nodeOptions: { ca: authority.cert, cert, key },
    });
    return createClient(TransformService, transport)
      .transform(request("mine", "ma"))
      .then(
        () => "in",
        (error) => Code[ConnectError.from(error).code] ?? "",
      );
  };
  expect(await grpc(owned)).toBe("in");
  expect(await grpc(unknown)).toBe("CREDENTIALS_INVALID");
  expect(await grpc(unknown, tokens.narrow)).toBe("in");
  // What a caller shows in the call goes before the connection's certificate.
  expect(await grpc(owned, "leat_wrong")).toBe("CREDENTIALS_INVALID");
  expect(await grpc(stranger)).toBe("Unavailable");
  for (const version of ["1.1", "2"] as const) {
    expect(await connect(owned, version)).toBe("in");
    expect(await connect(unknown, version)).toBe("Unauthenticated");
    expect(await connect(stranger, version)).not.toMatch(/^(?:in|Unauthenticated)$/);
  }
  // TLS has let them in; the calls come later.
  aheadMs = 2 * 24 * 3_600_000;
  expect(await grpc(owned)).toBe("CREDENTIALS_EXPIRED");
  expect(await connect(owned, "2")).toBe("Unauthenticated");
});

test("a handshake that does not come ends its connection on either port, and a slow request ends with 408", async () => {
  using folder = new AccessFolder();
  const files = put(folder, authority.issue("server.test"));
  await using kit = await startTestServer({
    http: true,
    limits: { maxRequestHeadMs: 200, maxRequestMs: 200 },
    server: { tls: { ...files, clientCa: undefined, clientAuth: "required" } },
    client: { tls: { ca: folder.write("ca.crt", authority.cert), serverName: "server.test" } },
  });
  for (const port of [kit.server.grpcPort, kit.server.httpPort ?? 0]) {
    const silent = connect(port, "127.0.0.1");
    silent.on("error", () => {});
    silent.resume();
    await once(silent, "close");
  }
  const slow = connectTls({
    host: "127.0.0.1",
    port: kit.server.httpPort ?? 0,
    ca: authority.cert,
    servername: "server.test",
    ALPNProtocols: ["http/1.1"],
  });
  await once(slow, "secureConnect");
  slow.write("POST /healthz HTTP/1.1\r\nHost: localhost\r\nx-slow: ");
  expect(await text(slow)).toMatch(/^HTTP\/1.1 408 /);
});
