import { context, type Span, SpanStatusCode, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { failureOf } from "../kit/call-error.ts";
import { numbered, open, request } from "../kit/records.ts";
import { holdingLimits, startTestServer, type TestServer } from "../kit/test-server.ts";
import { until } from "../kit/until.ts";

let kit: TestServer;

beforeAll(async () => {
  kit = await startTestServer({
    limits: { ...holdingLimits, maxWorkerQueue: 1 },
    spans: true,
    modules: { marked: "marked", program: "program" },
    pipelines: { two: ["program", "program"] },
  });
  trace.setGlobalTracerProvider(kit.spans.provider);
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
});

afterEach(() => {
  kit.spans.reset();
});

afterAll(async () => {
  trace.disable();
  context.disable();
  await kit[Symbol.asyncDispose]();
});

/** Runs under a span of the application's own. */
async function within<Result>(run: (span: Span) => Promise<Result>): Promise<Result> {
  return trace.getTracer("application").startActiveSpan("application", async (span) => {
    try {
      return await run(span);
    } finally {
      span.end();
    }
  });
}

function named(name: string) {
  return kit.spans.spans.filter((span) => span.name === name);
}

test("one trace reaches from the application through the SDK's call and the server to each stage", async () => {
  await within(() => kit.leat.transform("two", [{ value: "mma" }, { value: "mx" }]));
  await until(() => named("leat.stage s2").length === 1, "the server's spans have ended");
  expect(kit.spans.tree()).toEqual([
    "application",
    "  leat.v1.TransformService/Transform",
    "    leat.v1.TransformService/Transform",
    "      leat.queue",
    "      leat.stage s1",
    "      leat.stage s2",
  ]);
  expect(new Set(kit.spans.spans.map((span) => span.spanContext().traceId)).size).toBe(1);
});

test("each batch of a stream is a child of the span that produced it", async () => {
  await within(async () => {
    for await (const _ of kit.leat.stream("two", [[{ value: "mma" }], [{ value: "mmb" }]])) {
      // Only the spans are looked at.
    }
  });
  await until(() => named("leat.batch").length === 2, "both batches have their spans");
  const batch = [
    "  leat.stream_batch",
    "    leat.batch",
    "      leat.queue",
    "      leat.stage s1",
    "      leat.stage s2",
  ];
  expect(kit.spans.tree()).toEqual(["application", ...batch, ...batch]);
});

test("stages tell what ran, what came in, went out and failed; a failed record is an event", async () => {
  await kit.raw.transform(request("two", "mma", "mx", "t", "0"));
  const [s1] = named("leat.stage s1");
  const [s2] = named("leat.stage s2");
  expect(s1?.attributes).toMatchObject({
    "leat.stage": "s1",
    "leat.module.name": "program",
    "leat.module.digest": expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
    "leat.records.in": 4,
    "leat.records.out": 2,
    "leat.records.failed": 1,
    "leat.attempt": 1,
  });
  expect(s2?.attributes).toMatchObject({
    "leat.records.in": 2,
    "leat.records.out": 1,
    "leat.records.failed": 1,
  });
  expect(
    s1?.events.map(({ name, attributes }) => [
      name,
      attributes?.["leat.record.index"],
      attributes?.["leat.failure.code"],
    ]),
  ).toEqual([["leat.record.failed", 2, "trap"]]);
  expect(
    s2?.events.map(({ name, attributes }) => [
      name,
      attributes?.["leat.record.index"],
      attributes?.["leat.failure.code"],
    ]),
  ).toEqual([["leat.record.failed", 1, "refused"]]);
});

test("the caller's trace context is taken from metadata, and a decision not to sample is kept", async () => {
  const traceId = "0af7651916cd43dd8448eb211c80319c";
  await kit.raw.transform(request("two", "mma"), {
    metadata: { traceparent: `00-${traceId}-b7ad6b7169203331-01` },
  });
  const [call] = named("leat.v1.TransformService/Transform");
  expect(call?.spanContext().traceId).toBe(traceId);
  expect(call?.parentSpanContext?.spanId).toBe("b7ad6b7169203331");
  kit.spans.reset();
  await kit.raw.transform(request("two", "mma"), {
    metadata: { traceparent: `00-${traceId}-b7ad6b7169203331-00` },
  });
  expect(kit.spans.spans).toEqual([]);
});

test.each(["garbage", "00-00000000000000000000000000000000-b7ad6b7169203331-01", "", "ff-x-y-z"])(
  "a traceparent that is none (%j) starts a trace of its own",
  async (traceparent) => {
    const stream = kit.raw.stream();
    stream.write(open("two"));
    const batch = numbered(1, "mma");
    stream.write({ message: { case: "batch", value: { ...batch.message.value, traceparent } } });
    stream.halfClose();
    expect((await stream.rest()).map((message) => message.case)).toEqual(["opened", "result"]);
    const [span] = named("leat.batch");
    expect(span?.parentSpanContext).toBeUndefined();
  },
);

test("a call that ends with an error says so in its span, wherever it ended", async () => {
  const running = kit.raw.begin(request("marked", "~"));
  await until(() => kit.server.stats.admission.batches === 1, "the call runs");
  const waiting = kit.raw.begin(request("two", "mma"));
  await until(() => kit.server.stats.admission.batches === 2, "another call waits");
  waiting.cancel();
  await failureOf(waiting.response);
  await until(() => kit.server.stats.admission.batches === 1, "the waiting call is gone");
  running.cancel();
  await failureOf(running.response);
  await kit.idle();
  const calls = named("leat.v1.TransformService/Transform");
  expect(
    calls.map((span) => [span.attributes["leat.pipeline"], span.status.code, span.attributes["error.type"]]),
  ).toEqual([
    ["two", SpanStatusCode.ERROR, "CANCELLED"],
    ["marked", SpanStatusCode.ERROR, "CANCELLED"],
  ]);
});

test("calls that ran together each have their own trace", async () => {
  const held = await kit.hold();
  const calls = Array.from({ length: 5 }, (_, n) =>
    kit.raw.transform(request("two", `mm${n}`), {
      metadata: { traceparent: `00-${String(n + 1).padStart(32, "0")}-b7ad6b7169203331-01` },
    }),
  );
  await until(() => kit.server.stats.admission.batches === 6, "all calls wait");
  await held.release();
  await Promise.all(calls);
  await kit.idle();
  const traces = named("leat.stage s2").map((span) => span.spanContext().traceId);
  expect(new Set(traces).size).toBe(5);
});

test("calls of which nobody wants a trace record nothing of their own", async () => {
  await kit.raw.transform(request("two", "mma"), {
    metadata: { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00" },
  });
  expect(kit.spans.spans).toEqual([]);
});
