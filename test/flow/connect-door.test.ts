import { once } from "node:events";
import { type AddressInfo, connect as connectSocket, createServer as createNetServer } from "node:net";
import { setImmediate as turn } from "node:timers/promises";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { ErrorInfoSchema, RetryInfoSchema, TransformService } from "@leat/proto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { batchOf, numbered, open, pipelineTarget, request, valuesOf } from "../kit/records.ts";
import { holdingLimits, startTestServer, type TestServer } from "../kit/test-server.ts";
import { until } from "../kit/until.ts";

let kit: TestServer;

beforeAll(async () => {
  kit = await startTestServer({
    http: true,
    limits: { ...holdingLimits, maxAdmittedBatches: 8 },
    modules: { program: "program", marked: "marked" },
  });
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

/** As curl does it. */
async function post(method: string, body: unknown): Promise<{ status: number; json: unknown }> {
  const response = await fetch(`${kit.url}/leat.v1.${method}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  return { status: response.status, json: await response.json() };
}

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}

function http2() {
  return createClient(TransformService, createConnectTransport({ baseUrl: kit.url, httpVersion: "2" }));
}

describe("with JSON over HTTP/1.1", () => {
  test("a record is transformed", async () => {
    const answer = await post("TransformService/Transform", {
      target: { pipeline: "program" },
      batch: { records: [{ key: base64("k"), value: base64("ma") }, { value: base64("x") }] },
    });
    expect(answer).toEqual({
      status: 200,
      json: {
        result: {
          batch: { records: [{ key: base64("k"), value: base64("a") }] },
          fanout: [1, 0],
          failures: [{ index: 1, code: "refused", message: "asked to", stage: "program", attempts: 1 }],
        },
      },
    });
  });

  test("modules are listed, described and refused", async () => {
    expect(await post("ModuleService/ListModules", {})).toMatchObject({
      status: 200,
      json: {
        modules: [
          { name: "marked", active: true },
          { name: "program", active: true },
        ],
      },
    });
    expect(await post("ModuleService/LoadModule", { name: "bad", wasm: base64("no module") })).toMatchObject({
      status: 400,
      json: { code: "invalid_argument" },
    });
  });

  test("errors carry their reason for programs", async () => {
    const { status, json } = await post("TransformService/Transform", {
      target: { pipeline: "no-such-pipeline" },
    });
    expect(status).toBe(404);
    expect(json).toMatchObject({
      code: "not_found",
      message: expect.stringContaining("no-such-pipeline"),
      details: [
        {
          type: "google.rpc.ErrorInfo",
          debug: { reason: "PIPELINE_NOT_FOUND", domain: "leat", metadata: { pipeline: "no-such-pipeline" } },
        },
      ],
    });
  });

  test.each([
    ["no JSON", "{"],
    ["a field of another type", { target: { pipeline: 1 } }],
    ["a value that is no base64", { target: { pipeline: "program" }, batch: { records: [{ value: "%%" }] } }],
  ])("%s is an invalid argument", async (_, body) => {
    expect(await post("TransformService/Transform", body)).toMatchObject({
      status: 400,
      json: { code: "invalid_argument" },
    });
  });

  test("an unknown path is 404, a GET is 405", async () => {
    expect((await fetch(`${kit.url}/leat.v1.TransformService/NoSuchMethod`, { method: "POST" })).status).toBe(
      404,
    );
    expect((await fetch(`${kit.url}/no/such/page`)).status).toBe(404);
    expect((await fetch(`${kit.url}/leat.v1.TransformService/Transform`)).status).toBe(405);
  });

  test("a call that is given up frees its worker", async () => {
    const abort = new AbortController();
    const call = fetch(`${kit.url}/leat.v1.TransformService/Transform`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ target: { pipeline: "marked" }, batch: { records: [{ value: base64("~") }] } }),
      signal: abort.signal,
    });
    const failed = expect(call).rejects.toThrow(/abort/i);
    await until(() => kit.server.stats.admission.batches === 1, "the call is admitted");
    abort.abort();
    await failed;
    await kit.idle();
  });

  test("a stream is refused at once: it needs HTTP/2", async () => {
    const response = await fetch(`${kit.url}/leat.v1.TransformService/StreamTransform`, {
      method: "POST",
      headers: { "content-type": "application/connect+json" },
      body: new Uint8Array(0),
    });
    expect(response.status).toBe(505);
  });
});

describe("over HTTP/2", () => {
  test("errors come with their details", async () => {
    const held = await kit.hold();
    const calls = Array.from({ length: 7 }, () => kit.raw.transform(request("program", "m")));
    await until(() => kit.server.stats.admission.batches === 8, "the queue is full");
    const error = await http2()
      .transform({ target: pipelineTarget("program"), batch: batchOf("m") })
      .catch((thrown: unknown) => ConnectError.from(thrown));
    if (!(error instanceof ConnectError)) throw new Error("the call succeeded");
    expect(error.code).toBe(Code.ResourceExhausted);
    expect(error.findDetails(ErrorInfoSchema)[0]).toMatchObject({
      reason: "QUEUE_FULL",
      metadata: { limit: "maxAdmittedBatches", value: "8" },
    });
    expect(error.findDetails(RetryInfoSchema)).toHaveLength(1);
    await held.release();
    await Promise.all(calls);
  });

  test("a stream runs in both directions at once, in order, and tells errors in band", async () => {
    const answered = Promise.withResolvers<void>();
    async function* requests() {
      yield open("program");
      yield numbered(1, "ma");
      // Only when the first answer is there: full duplex.
      await answered.promise;
      for (let sequence = 2; sequence <= 40; sequence++) yield numbered(sequence, `m${sequence}`);
    }
    const seen: (string | undefined)[] = [];
    const sequences: bigint[] = [];
    for await (const { message } of http2().streamTransform(requests())) {
      seen.push(message.case);
      if (message.case === "result") {
        sequences.push(message.value.sequence);
        answered.resolve();
      }
    }
    expect(seen[0]).toBe("opened");
    expect(sequences).toEqual(Array.from({ length: 40 }, (_, index) => BigInt(index + 1)));
  });

  test("a breach of the stream's protocol ends it with its reason", async () => {
    async function* requests() {
      yield open("program");
      yield numbered(7, "m");
    }
    const reading = (async () => {
      for await (const _ of http2().streamTransform(requests())) {
        // Nothing is expected but the opening.
      }
    })();
    const error = await reading.catch((thrown: unknown) => ConnectError.from(thrown));
    if (!(error instanceof ConnectError)) throw new Error("the stream ended well");
    expect(error.code).toBe(Code.InvalidArgument);
    expect(error.findDetails(ErrorInfoSchema)[0]?.reason).toBe("STREAM_OUT_OF_SEQUENCE");
    await kit.idle();
  });

  test("a full window holds the producer", async () => {
    const held = await kit.hold();
    let sent = 0;
    async function* requests() {
      yield open("program", { window: 3 });
      for (let sequence = 1; sequence <= 500; sequence++) {
        sent = sequence;
        yield numbered(sequence, `m${"v".repeat(5_000)}`);
      }
    }
    const reading = (async () => {
      let results = 0;
      for await (const { message } of http2().streamTransform(requests()))
        if (message.case === "result") results++;
      return results;
    })();
    await until(() => kit.server.stats.admission.batches === 4, "the window is full");
    await kit.metrics();
    expect(kit.server.stats.admission.batches).toBe(4);
    expect(sent).toBeLessThan(400);
    await held.release();
    expect(await reading).toBe(500);
  });

  test("a stream that is left is cancelled in the worker", async () => {
    const abort = new AbortController();
    async function* requests() {
      yield open("marked");
      yield numbered(1, "~");
      await new Promise<void>((resolve) => abort.signal.addEventListener("abort", () => resolve()));
    }
    const reading = (async () => {
      for await (const _ of http2().streamTransform(requests(), { signal: abort.signal })) {
        // Only the opening comes.
      }
    })();
    const failed = expect(reading).rejects.toThrow();
    await until(() => kit.server.stats.admission.batches === 1, "the batch runs");
    abort.abort();
    await failed;
    await kit.idle();
  });
});

describe("a client whose first bytes come one by one is understood", () => {
  /** A relay that passes the client's first bytes on one by one. */
  async function relay(): Promise<{ port: number; close(): void }> {
    const server = createNetServer((client) => {
      const upstream = connectSocket(Number(kit.server.httpPort), "127.0.0.1");
      upstream.setNoDelay(true);
      for (const socket of [client, upstream]) socket.on("error", () => {});
      upstream.pipe(client);
      client.once("data", async (bytes: Buffer) => {
        client.pause();
        for (const byte of bytes.subarray(0, 8)) {
          upstream.write(Uint8Array.of(byte));
          // The server is in this process: it reads while the loop goes round.
          for (let round = 0; round < 5; round++) await turn();
        }
        upstream.write(bytes.subarray(8));
        client.pipe(upstream);
      });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return { port: (server.address() as AddressInfo).port, close: () => server.close() };
  }

  test.each(["1.1", "2"] as const)("over HTTP/%s", async (httpVersion) => {
    const { port, close } = await relay();
    const baseUrl = `http://127.0.0.1:${port}`;
    const client = createClient(TransformService, createConnectTransport({ baseUrl, httpVersion }));
    const { result } = await client.transform(request("program", "ma"));
    expect(result && valuesOf(result)).toEqual(["a"]);
    close();
  });
});
