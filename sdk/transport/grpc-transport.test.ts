import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { create } from "@bufbuild/protobuf";
import type { Interceptor } from "@connectrpc/connect";
import { Code, ConnectError, createClient, encodeBinaryHeader } from "@connectrpc/connect";
import { ServerCredentials } from "@grpc/grpc-js";
import type { StreamTransformRequest, TransformRequest } from "@leat/proto";
import {
  ErrorInfoSchema,
  MetricsService,
  RetryInfoSchema,
  StreamTransformRequestSchema,
  TransformRequestSchema,
  TransformService,
} from "@leat/proto";
import { describe, expect, test } from "vitest";
import { turns, until } from "../test-kit/gates.ts";
import { startProtocolServer } from "../test-kit/protocol-server.ts";
import { createGrpcTransport } from "./grpc-transport.ts";

const tlsFile = (name: string): string => fileURLToPath(new URL(`../test-kit/tls/${name}`, import.meta.url));
const utf8 = new TextEncoder();

function request(pipeline: string, value = "mill"): TransformRequest {
  return create(TransformRequestSchema, {
    target: { target: { case: "pipeline", value: pipeline } },
    batch: { records: [{ value: utf8.encode(value) }] },
  });
}

function opening(pipeline: string): StreamTransformRequest {
  const value = { target: { target: { case: "pipeline", value: pipeline } } } as const;
  return create(StreamTransformRequestSchema, { message: { case: "open", value } });
}

function numbered(sequence: bigint, value: string): StreamTransformRequest {
  const batch = { records: [{ value: utf8.encode(value) }] };
  return create(StreamTransformRequestSchema, { message: { case: "batch", value: { sequence, batch } } });
}

async function failure(promise: Promise<unknown>): Promise<ConnectError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error instanceof ConnectError) return error;
  throw new Error(`expected a ConnectError, got ${String(error)}`);
}

describe("a unary call", () => {
  test("returns the message, with headers and trailers both ways, binary ones included", async () => {
    await using server = await startProtocolServer();
    using transport = createGrpcTransport({ address: server.address });
    const client = createClient(TransformService, transport);
    let header = new Headers();
    let trailer = new Headers();
    const response = await client.transform(request("uppercase"), {
      headers: { "x-echo": "text", "x-echo-bin": encodeBinaryHeader(Uint8Array.of(0, 200)) },
      onHeader: (headers) => {
        header = headers;
      },
      onTrailer: (trailers) => {
        trailer = trailers;
      },
    });
    expect(response.result?.batch?.records[0]?.value).toEqual(utf8.encode("MILL"));
    expect(header.get("x-header")).toBe("from-the-server");
    expect(header.get("x-bytes-bin")).toBe(encodeBinaryHeader(Uint8Array.of(0, 255, 1)));
    expect(header.get("x-echo")).toBe("text");
    expect(header.get("x-echo-bin")).toBe(encodeBinaryHeader(Uint8Array.of(0, 200)));
    expect(trailer.get("x-trailer")).toBe("from-the-server");
    expect(server.unaryCalls[0]?.metadata.get("x-echo-bin")).toEqual([Buffer.from([0, 200])]);
  });

  test.each(["missing", "missing-after-headers"])(
    "fails with code, details and metadata from %s: trailers alone, or after headers",
    async (pipeline) => {
      await using server = await startProtocolServer();
      using transport = createGrpcTransport({ address: server.address });
      const client = createClient(TransformService, transport);
      const error = await failure(client.transform(request(pipeline)));
      expect(error.code).toBe(Code.NotFound);
      expect(error.rawMessage).toBe(`no pipeline ${pipeline}`);
      expect(error.metadata.get("x-trailer")).toBe("from-the-error");
      const afterHeaders = pipeline === "missing-after-headers";
      expect(error.metadata.get("x-header")).toBe(afterHeaders ? "from-the-server" : null);
      expect(error.findDetails(ErrorInfoSchema)[0]).toMatchObject({
        domain: "leat",
        reason: "PIPELINE_NOT_FOUND",
      });
    },
  );

  test("fails with UNAVAILABLE when the connection is lost before any status came", async () => {
    await using server = await startProtocolServer();
    using transport = createGrpcTransport({ address: server.address, retry: false });
    const call = failure(createClient(TransformService, transport).transform(request("never")));
    await until(() => server.unaryCalls.length === 1);
    server.cutConnections();
    expect((await call).code).toBe(Code.Unavailable);
  });

  test("fails with UNIMPLEMENTED for a method that the server does not have", async () => {
    await using server = await startProtocolServer();
    using transport = createGrpcTransport({ address: server.address });
    expect((await failure(createClient(MetricsService, transport).metrics({}))).code).toBe(
      Code.Unimplemented,
    );
  });

  test("carries every detail of the status", async () => {
    await using server = await startProtocolServer();
    using transport = createGrpcTransport({ address: server.address });
    const error = await failure(createClient(TransformService, transport).transform(request("busy")));
    expect(error.code).toBe(Code.ResourceExhausted);
    expect(error.findDetails(RetryInfoSchema)[0]?.retryDelay?.nanos).toBe(250e6);
  });
});

describe("deadlines and aborts", () => {
  test("a deadline reaches the server and ends the call with DEADLINE_EXCEEDED", async () => {
    await using server = await startProtocolServer();
    using transport = createGrpcTransport({ address: server.address });
    const client = createClient(TransformService, transport);
    const error = await failure(client.transform(request("never"), { timeoutMs: 60 }));
    expect(error.code).toBe(Code.DeadlineExceeded);
    const deadline = server.unaryCalls[0]?.deadline;
    expect(Number(deadline)).toBeLessThan(Date.now() + 60);
  });

  test("the default timeout applies to calls that set none", async () => {
    await using server = await startProtocolServer();
    using transport = createGrpcTransport({ address: server.address, defaultTimeoutMs: 60 });
    const error = await failure(createClient(TransformService, transport).transform(request("never")));
    expect(error.code).toBe(Code.DeadlineExceeded);
  });

  test("an abort before the call sends nothing", async () => {
    await using server = await startProtocolServer();
    using transport = createGrpcTransport({ address: server.address });
    const reason = new Error("no longer needed");
    const call = createClient(TransformService, transport).transform(request("never"), {
      signal: AbortSignal.abort(reason),
    });
    expect(await failure(call)).toMatchObject({ code: Code.Canceled, cause: reason });
    expect(server.connections).toBe(0);
  });

  test("an abort during the call cancels it on the server", async () => {
    await using server = await startProtocolServer();
    using transport = createGrpcTransport({ address: server.address });
    const controller = new AbortController();
    const { signal } = controller;
    const call = createClient(TransformService, transport).transform(request("never"), { signal });
    await until(() => server.unaryCalls.length === 1);
    controller.abort(new Error("enough"));
    expect(await failure(call)).toMatchObject({ code: Code.Canceled, rawMessage: "enough" });
    await until(() => server.cancelled === 1);
  });
});

describe("streams", () => {
  test("a server stream gives its messages, and ends on abort", async () => {
    await using server = await startProtocolServer();
    using transport = createGrpcTransport({ address: server.address });
    const controller = new AbortController();
    const { signal } = controller;
    const watch = createClient(MetricsService, transport).watchMetrics({ intervalMs: 1 }, { signal });
    let count = 0;
    const read = async (): Promise<void> => {
      for await (const { snapshot } of watch) {
        expect(snapshot?.pool?.workers).toBe(1);
        if (++count === 3) controller.abort();
      }
    };
    expect((await failure(read())).code).toBe(Code.Canceled);
    expect(count).toBe(3);
  });

  test("a bidirectional stream runs both ways, to its trailers", async () => {
    await using server = await startProtocolServer();
    using transport = createGrpcTransport({ address: server.address });
    async function* requests() {
      yield opening("uppercase");
      yield numbered(1n, "race");
    }
    const cases: (string | undefined)[] = [];
    for await (const response of createClient(TransformService, transport).streamTransform(requests())) {
      cases.push(response.message.case);
    }
    expect(cases).toEqual(["opened", "result"]);
  });

  test("a breach of protocol ends the stream with its details, and releases the input", async () => {
    await using server = await startProtocolServer();
    using transport = createGrpcTransport({ address: server.address });
    let released = false;
    async function* requests() {
      try {
        yield numbered(1n, "too early");
        await turns(1);
        yield numbered(2n, "too late");
      } finally {
        released = true;
      }
    }
    const read = async (): Promise<void> => {
      for await (const _ of createClient(TransformService, transport).streamTransform(requests()));
    };
    const error = await failure(read());
    expect(error.code).toBe(Code.InvalidArgument);
    expect(error.findDetails(ErrorInfoSchema)[0]?.reason).toBe("STREAM_NOT_OPENED");
    await until(() => released);
  });

  test("an input that throws ends the call with that error", async () => {
    await using server = await startProtocolServer();
    using transport = createGrpcTransport({ address: server.address });
    // biome-ignore lint/correctness/useYield: the input fails before it gives anything
    async function* requests(): AsyncGenerator<never> {
      throw new Error("the disk is gone");
    }
    const read = async (): Promise<void> => {
      for await (const _ of createClient(TransformService, transport).streamTransform(requests()));
    };
    expect((await failure(read())).rawMessage).toBe("the disk is gone");
  });
});

describe("interceptors", () => {
  test("see the request, may change its headers, and see the response, in Connect's order", async () => {
    await using server = await startProtocolServer();
    const seen: string[] = [];
    const log =
      (name: string): Interceptor =>
      (next) =>
      async (req) => {
        seen.push(`${name} ${req.method.name} ${req.url}`);
        req.header.append("x-echo", name);
        const response = await next(req);
        seen.push(`${name} ${response.header.get("x-echo")}`);
        return response;
      };
    using transport = createGrpcTransport({ address: server.address, interceptors: [log("a"), log("b")] });
    await createClient(TransformService, transport).transform(request("identity"), { timeoutMs: 5_000 });
    const path = `http://${server.address}/leat.v1.TransformService/Transform`;
    expect(seen).toEqual([`a Transform ${path}`, `b Transform ${path}`, "b a, b", "a a, b"]);
    expect(Number(server.unaryCalls[0]?.deadline)).toBeLessThan(Date.now() + 5_000);
  });

  test("wrap streams too", async () => {
    await using server = await startProtocolServer();
    const kinds: string[] = [];
    const note: Interceptor = (next) => (req) => {
      kinds.push(req.stream ? "stream" : "unary");
      return next(req);
    };
    using transport = createGrpcTransport({ address: server.address, interceptors: [note] });
    async function* requests() {
      yield opening("uppercase");
    }
    for await (const _ of createClient(TransformService, transport).streamTransform(requests()));
    expect(kinds).toEqual(["stream"]);
  });
});

describe("channels", () => {
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
});

describe("TLS", () => {
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
});
