import { context, type Span, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Leat, text } from "./index.ts";
import { startProtocolServer } from "./test-kit/protocol-server.ts";

const codec = text();

async function inSpan<T>(name: string, work: (span: Span) => Promise<T>): Promise<T> {
  return trace.getTracer("test").startActiveSpan(name, async (span) => {
    try {
      return await work(span);
    } finally {
      span.end();
    }
  });
}

test("without a tracer provider no trace context is sent", async () => {
  await using server = await startProtocolServer();
  await using leat = new Leat(server.address);
  await leat.transform("identity", ["a"], { codec });
  await Array.fromAsync(leat.stream("identity", ["a"], { codec }));
  expect(server.unaryCalls[0]?.metadata.get("traceparent")).toEqual([]);
  expect(server.streams[0]?.batches[0]?.traceparent).toBe("");
});

describe("with a tracer provider", () => {
  const exporter = new InMemorySpanExporter();
  const spans = () => exporter.getFinishedSpans().filter(({ name }) => !name.startsWith("test"));

  beforeEach(() => {
    exporter.reset();
    trace.setGlobalTracerProvider(
      new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] }),
    );
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    return () => {
      trace.disable();
      context.disable();
    };
  });

  afterEach(() => exporter.reset());

  test("a unary call has a CLIENT span under its caller's, and the server gets its context", async () => {
    await using server = await startProtocolServer();
    await using leat = new Leat(server.address);
    const caller = await inSpan("test", async (span) => {
      await leat.transform("identity", ["a", "b"], { codec });
      return span.spanContext();
    });
    const [span] = spans();
    expect(span).toMatchObject({
      name: "leat.v1.TransformService/Transform",
      kind: SpanKind.CLIENT,
      attributes: { "rpc.system": "grpc", "leat.pipeline": "identity", "leat.records.in": 2 },
    });
    expect(span?.parentSpanContext?.spanId).toBe(caller.spanId);
    const { traceId, spanId } = span?.spanContext() ?? {};
    expect(server.unaryCalls[0]?.metadata.get("traceparent")).toEqual([`00-${traceId}-${spanId}-01`]);
  });

  test("a failed call marks its span with the reason", async () => {
    await using server = await startProtocolServer();
    await using leat = new Leat(server.address);
    await leat.transform("missing", ["a"], { codec }).catch(() => {});
    expect(spans()[0]).toMatchObject({
      status: { code: SpanStatusCode.ERROR, message: "no pipeline missing" },
      attributes: { "error.type": "PIPELINE_NOT_FOUND" },
    });
  });

  test("each batch of a stream has a PRODUCER span under the stream's maker, and carries its context", async () => {
    await using server = await startProtocolServer();
    await using leat = new Leat(server.address);
    const caller = await inSpan("test", async (span) => {
      await Array.fromAsync(leat.stream("identity", ["a", "b"], { codec, batchRecords: 1, streamId: "s" }));
      return span.spanContext();
    });
    const all = spans();
    expect(all).toHaveLength(2);
    for (const [index, span] of all.entries()) {
      expect(span).toMatchObject({
        name: "leat.stream_batch",
        kind: SpanKind.PRODUCER,
        attributes: { "leat.stream.id": "s", "leat.stream.sequence": index + 1, "leat.records.in": 1 },
      });
      expect(span.parentSpanContext?.spanId).toBe(caller.spanId);
      const { traceId, spanId } = span.spanContext();
      expect(server.streams[0]?.batches[index]?.traceparent).toBe(`00-${traceId}-${spanId}-01`);
    }
  });

  test("a batcher's batch links to the spans of all its callers", async () => {
    await using server = await startProtocolServer();
    await using leat = new Leat(server.address);
    await using batcher = leat.batcher("identity", { codec });
    const callers = await Promise.all(
      ["a", "b"].map((value) =>
        inSpan(`test ${value}`, async (span) => {
          await batcher.transform(value);
          return span.spanContext().spanId;
        }),
      ),
    );
    const [span] = spans();
    expect(span?.parentSpanContext).toBeUndefined();
    expect(span?.links.map((link) => link.context.spanId)).toEqual(callers);
  });
});
