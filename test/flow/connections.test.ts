/**
 * What one connection, and all of a port together, may take of the server.
 */

import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { connect, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { resolveLimits } from "../../server/limits.ts";
import { failureOf } from "../kit/call-error.ts";
import { request, valuesOf } from "../kit/records.ts";
import { holdingLimits, startTestServer, type TestServer } from "../kit/test-server.ts";
import { until } from "../kit/until.ts";

const ports = ["grpc", "http"] as const;

function portOf(kit: TestServer, port: (typeof ports)[number]): number {
  const number = port === "grpc" ? kit.server.grpcPort : kit.server.httpPort;
  if (number === undefined) throw new Error(`no ${port} port`);
  return number;
}

/** A bare connection. */
async function connection(port: number): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
}

/** Resolves when the other side has closed the connection. */
async function closed(socket: Socket): Promise<void> {
  socket.resume();
  if (!socket.closed) await once(socket, "close");
}

test.each(ports)(
  "a connection too many on the %s port is closed at once, until there is room again",
  async (port) => {
    await using kit = await startTestServer({ http: true, limits: { maxConnections: 3 } });
    await kit.leat.connect(5_000);
    const stats = kit.server.stats.connections[port];
    if (port === "grpc") await until(() => stats.open === 1, "the SDK is connected");
    const others = stats.open;
    const held: Socket[] = [];
    while (stats.open < 3) {
      held.push(await connection(portOf(kit, port)));
      await until(() => stats.open === others + held.length, "it is let in");
    }
    await closed(await connection(portOf(kit, port)));
    expect(stats).toEqual({ open: 3, dropped: 1 });
    expect((await kit.metrics()).pool?.workers).toBe(1);
    held.pop()?.destroy();
    await until(() => stats.open === 2, "one has gone");
    const late = await connection(portOf(kit, port));
    await until(() => stats.open === 3, "the next is let in");
    for (const socket of [...held, late]) socket.destroy();
  },
);

test("calls too many on one connection wait in the client, and all are answered", async () => {
  await using kit = await startTestServer({
    http: true,
    limits: { ...holdingLimits, maxCallsPerConnection: 3 },
    modules: { marked: "marked", program: "program" },
  });
  const { admission } = kit.server.stats;
  for (const url of [`http://${kit.address}`, kit.url]) {
    const session = connectHttp2(url);
    await once(session, "remoteSettings");
    expect(session.remoteSettings.maxConcurrentStreams).toBe(3);
    session.close();
  }
  const held = await kit.hold();
  const calls = Array.from({ length: 10 }, (_, n) => kit.leat.transform("program", [{ value: `m${n}` }]));
  await until(() => admission.batches === 4, "three of them are there beside the call that holds");
  await kit.raw.call("/grpc.health.v1.Health/Check", new Uint8Array(0)).response;
  expect(admission.batches).toBe(4);
  await held.release();
  const values = (await Promise.all(calls)).flatMap(({ records }) => records.map(({ value }) => value));
  expect(values.map((value) => new TextDecoder().decode(value))).toEqual([..."0123456789"]);
});

test("a call with too much metadata ends, and others on its connection go on", async () => {
  await using kit = await startTestServer({
    http: true,
    limits: { maxMetadataBytes: 16 * 1024 },
    modules: { program: "program" },
  });
  expect(valuesOf(await kit.raw.transform(request("program", "ma")))).toEqual(["a"]);
  const large = { "x-large": "v".repeat(20_000) };
  const call = kit.raw.transform(request("program", "mb"), { metadata: large });
  expect((await failureOf(call)).status).not.toBe("OK");
  expect(valuesOf(await kit.raw.transform(request("program", "mc")))).toEqual(["c"]);
  expect((await fetch(`${kit.url}/healthz`, { headers: large })).status).toBe(431);
});

test.each([
  ["its headers", "POST /healthz HTTP/1.1\r\nHost: localhost\r\nx-slow: "],
  [
    "its body",
    "POST /leat.v1.ModuleService/ListModules HTTP/1.1\r\nHost: localhost\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{",
  ],
])("an HTTP/1.1 request that does not get on with %s is ended with 408", async (_, start) => {
  await using kit = await startTestServer({
    http: true,
    limits: { maxRequestHeadMs: 200, maxRequestMs: 200 },
  });
  const socket = await connection(portOf(kit, "http"));
  socket.write(start);
  expect(await text(socket)).toMatch(/^HTTP\/1.1 408 /);
});

test("a connection to the HTTP port that says nothing is closed", async () => {
  await using kit = await startTestServer({ http: true, limits: { maxRequestHeadMs: 50 } });
  await closed(await connection(portOf(kit, "http")));
});

test.each(ports)(
  "a connection to the %s port without calls is closed in the end, and one with a call is kept",
  async (port) => {
    await using kit = await startTestServer({
      http: true,
      limits: { ...holdingLimits, maxIdleConnectionMs: 50 },
      modules: { marked: "marked" },
    });
    const idle = connectHttp2(`http://127.0.0.1:${portOf(kit, port)}`);
    const [code] = await once(idle, "goaway");
    expect(code).toBe(0);
    const held = await kit.hold();
    await until(() => kit.server.stats.connections.grpc.open <= 2, "idle connections are closed");
    expect(kit.server.stats.admission.batches).toBe(1);
    await held.release();
  },
);

test.each([
  [{ maxConnections: 0 }, "maxConnections must be at least 1 and below 2^31"],
  [{ maxIdleConnectionMs: 2 ** 31 }, "maxIdleConnectionMs must be at least 1 and below 2^31"],
  [{ maxRequestHeadMs: 1_000, maxRequestMs: 999 }, "maxRequestHeadMs must not exceed maxRequestMs"],
  [{ maxMetadataBytes: 8 * 1024 }, "maxTokenBytes must be below maxMetadataBytes"],
])("limits that Node would take for something else are refused: %j", (limits, problem) => {
  expect(() => resolveLimits(limits)).toThrow(problem);
});
