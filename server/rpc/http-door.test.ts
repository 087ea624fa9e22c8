import { once } from "node:events";
import { connect } from "node:http2";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { MetricsService, type StreamTransformRequestSchema, TransformService } from "@leat/proto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { batchOf, pipelineTarget, valuesOf } from "../../test/kit/records.ts";
import { startTestServer, type TestServer } from "../../test/kit/test-server.ts";

let kit: TestServer;

beforeAll(async () => {
  kit = await startTestServer({ http: true, modules: { program: "program" } });
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

async function* requests(): AsyncGenerator<MessageInitShape<typeof StreamTransformRequestSchema>> {
  yield { message: { case: "open", value: { target: pipelineTarget("program") } } };
  for (let sequence = 1n; sequence <= 3n; sequence++) {
    yield { message: { case: "batch", value: { sequence, batch: batchOf(`a${sequence}`) } } };
  }
}

describe("one port speaks to all", () => {
  test.each(["connect", "grpc"] as const)(
    "a stream in both directions over HTTP/2 with %s",
    async (protocol) => {
      const baseUrl = kit.url;
      const transport =
        protocol === "grpc"
          ? createGrpcTransport({ baseUrl })
          : createConnectTransport({ baseUrl, httpVersion: "2" });
      const values: string[] = [];
      for await (const { message } of createClient(TransformService, transport).streamTransform(requests())) {
        if (message.case === "result" && message.value.outcome.case === "result") {
          values.push(...valuesOf(message.value.outcome.value));
        }
      }
      expect(values).toEqual(["1", "2", "3"]);
    },
  );

  test("a call over HTTP/1.1 with gRPC-Web", async () => {
    const transport = createGrpcWebTransport({ baseUrl: kit.url, httpVersion: "1.1" });
    const { result } = await createClient(TransformService, transport).transform({
      target: pipelineTarget("program"),
      batch: batchOf("a1"),
    });
    expect(result && valuesOf(result)).toEqual(["1"]);
  });

  test("a page over HTTP/1.1", async () => {
    expect((await fetch(`${kit.url}/readyz`)).status).toBe(200);
  });

  test("the figures in pieces, whose length a HEAD tells, over both versions of HTTP", async () => {
    const page = await fetch(`${kit.url}/metrics`);
    const text = await page.text();
    expect(page.headers.get("content-length")).toBe(String(Buffer.byteLength(text)));
    const head = await fetch(`${kit.url}/metrics`, { method: "HEAD" });
    expect([head.status, await head.text()]).toEqual([200, ""]);
    expect(Number(head.headers.get("content-length"))).toBeGreaterThan(0);

    const session = connect(kit.url);
    for (const method of ["GET", "HEAD"]) {
      const request = session.request({ ":method": method, ":path": "/metrics" });
      const [headers] = await once(request, "response");
      const body = Buffer.concat(await request.toArray());
      const told = Number(headers["content-length"]);
      expect([headers[":status"], body.length]).toEqual([200, method === "GET" ? told : 0]);
      expect(told).toBeGreaterThan(0);
    }
    session.close();
    await once(session, "close");
  });

  test("an error in the middle of a stream of responses keeps its reason", async () => {
    const transport = createConnectTransport({ baseUrl: kit.url, httpVersion: "1.1" });
    const watch = async () => {
      for await (const _ of createClient(MetricsService, transport).watchMetrics({ intervalMs: 1 })) break;
    };
    await expect(watch()).rejects.toThrow("interval_ms: 1 is outside of 100 to 60000");
  });
});

test("a connection that is kept open without a call does not hold a drain", async () => {
  const server = await startTestServer({ http: true, limits: { maxDrainMs: 600_000 } });
  await (await fetch(`${server.url}/healthz`)).text();
  await server.leat.close();
  server.raw.close();
  await server.server.drain();
  await server[Symbol.asyncDispose]();
});
