import type { Interceptor } from "@connectrpc/connect";
import { Code, createClient, encodeBinaryHeader } from "@connectrpc/connect";
import { ErrorInfoSchema, MetricsService, RetryInfoSchema, TransformService } from "@leat/proto";
import { describe, expect, test } from "vitest";
import { turns, until } from "../test-kit/gates.ts";
import { startProtocolServer } from "../test-kit/protocol-server.ts";
import { failure, numbered, opening, request } from "../test-kit/requests.ts";
import { createGrpcTransport } from "./grpc-transport.ts";

const utf8 = new TextEncoder();

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
    using transport = createGrpcTransport({ address: server.address, retry: false });
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
