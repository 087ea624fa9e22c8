import { SpanKind, SpanStatusCode } from "@opentelemetry/api";
import {
  AlwaysOnSampler,
  InMemorySpanExporter,
  ParentBasedSampler,
  type ReadableSpan,
  SimpleSpanProcessor,
  TracerProvider,
} from "@opentelemetry/sdk-trace";
import { describe, expect, test } from "vitest";
import { clockOf } from "../../test/kit/clocks.ts";
import { leatError } from "../errors.ts";
import { type BatchTiming, BatchTracer, type StageTiming } from "./batch-trace.ts";

const traceId = "0af7651916cd43dd8448eb211c80319c";
const callerSpan = "b7ad6b7169203331";
const sampled = `00-${traceId}-${callerSpan}-01`;
const startMs = 1_800_000_000_000.25;

function setUp(maxEvents?: number) {
  const exporter = new InMemorySpanExporter();
  const provider = new TracerProvider({
    sampler: new ParentBasedSampler({ root: new AlwaysOnSampler() }),
    spanProcessors: [new SimpleSpanProcessor({ exporter })],
  });
  const tracer = new BatchTracer(
    provider.getTracer("test"),
    clockOf(() => startMs),
    maxEvents === undefined ? undefined : { maxFailureEventsPerTrace: maxEvents },
  );
  return { tracer, spans: () => exporter.getFinishedSpans() };
}

function stage(name: string, fields: Partial<StageTiming> = {}): StageTiming {
  return {
    name,
    module: `${name}-module`,
    version: "1.0.0",
    digest: "sha256:ab",
    startMs: startMs + 2,
    endMs: startMs + 3,
    recordsIn: 100,
    recordsOut: 100,
    recordsSkipped: 0,
    recordsFailed: 0,
    attempt: 1,
    instanceReused: true,
    ...fields,
  };
}

function timing(fields: Partial<BatchTiming> = {}): BatchTiming {
  return {
    admittedMs: startMs + 0.125,
    startedMs: startMs + 1.5,
    endMs: startMs + 10,
    worker: 3,
    stages: [],
    failures: [],
    recordsFailed: fields.failures?.length ?? 0,
    ...fields,
  };
}

/** The tree as indented names, children in order of their start. */
function tree(spans: readonly ReadableSpan[], parent?: string, depth = 0): string[] {
  return spans
    .filter((span) =>
      parent === undefined ? isRoot(span, spans) : span.parentSpanContext?.spanId === parent,
    )
    .toSorted((a, b) => ms(a.startTime) - ms(b.startTime))
    .flatMap((span) => [
      `${"  ".repeat(depth)}${span.name}`,
      ...tree(spans, span.spanContext().spanId, depth + 1),
    ]);
}

function isRoot(span: ReadableSpan, spans: readonly ReadableSpan[]): boolean {
  return !spans.some((other) => other.spanContext().spanId === span.parentSpanContext?.spanId);
}

function ms([seconds, nanos]: readonly [number, number]): number {
  return seconds * 1_000 + nanos / 1e6;
}

function named(spans: readonly ReadableSpan[], name: string): ReadableSpan {
  const found = spans.filter((span) => span.name === name);
  if (found[0] === undefined || found.length > 1) throw new Error(`${found.length} spans ${name}`);
  return found[0];
}

describe("the span tree", () => {
  test("of a stream batch hangs under the producer's span: queue, then a span a stage", () => {
    const { tracer, spans } = setUp();
    const trace = tracer.start("batch", "flights", sampled);
    trace?.finish(
      timing({
        stages: [
          stage("normalise", { recordsIn: 95, recordsOut: 85, recordsFailed: 10, recordsSkipped: 5 }),
          stage("redact", { startMs: startMs + 3, endMs: startMs + 4.5, recordsIn: 90, recordsOut: 88 }),
        ],
      }),
    );
    expect(tree(spans())).toEqual([
      "leat.batch",
      "  leat.queue",
      "  leat.stage normalise",
      "  leat.stage redact",
    ]);
    const root = named(spans(), "leat.batch");
    expect(root.kind).toBe(SpanKind.SERVER);
    expect(root.spanContext().traceId).toBe(traceId);
    expect(root.parentSpanContext).toMatchObject({ spanId: callerSpan, isRemote: true });
    expect(trace?.traceId).toBe(traceId);
    expect(trace?.spanId).toBe(root.spanContext().spanId);
    expect(root.attributes).toEqual({
      "leat.pipeline": "flights",
      "leat.records.in": 100,
      "leat.records.out": 88,
      "leat.records.failed": 0,
      "leat.worker": 3,
      "rpc.grpc.status_code": 0,
    });
    expect(named(spans(), "leat.stage normalise").attributes).toEqual({
      "leat.pipeline": "flights",
      "leat.stage": "normalise",
      "leat.module.name": "normalise-module",
      "leat.module.version": "1.0.0",
      "leat.module.digest": "sha256:ab",
      "leat.records.in": 95,
      "leat.records.out": 85,
      "leat.records.failed": 10,
      "leat.records.skipped": 5,
      "leat.attempt": 1,
      "leat.worker": 3,
      "leat.instance.reused": true,
    });
  });

  test("of a unary call is named as gRPC names the method", () => {
    const { tracer, spans } = setUp();
    tracer.start("unary", "flights", sampled)?.finish(timing({ stages: [stage("upper")] }));
    expect(tree(spans())).toEqual([
      "leat.v1.TransformService/Transform",
      "  leat.queue",
      "  leat.stage upper",
    ]);
    expect(named(spans(), "leat.v1.TransformService/Transform").attributes).toMatchObject({
      "rpc.system": "grpc",
      "rpc.service": "leat.v1.TransformService",
      "rpc.method": "Transform",
    });
  });

  test("keeps fractions of a millisecond", () => {
    const { tracer, spans } = setUp();
    tracer
      .start("batch", "p", undefined)
      ?.finish(timing({ stages: [stage("s", { endMs: startMs + 2.0625 })] }));
    const times = Object.fromEntries(
      spans().map((span) => [span.name, [span.startTime[1], span.endTime[1]]] as const),
    );
    expect(times).toEqual({
      "leat.batch": [250_000, 10_250_000],
      "leat.queue": [375_000, 1_750_000],
      "leat.stage s": [2_250_000, 2_312_500],
    });
  });

  test("of a stage that was tried twice has a span for each attempt, and failures hang on the last", () => {
    const { tracer, spans } = setUp();
    tracer.start("batch", "p", undefined)?.finish(
      timing({
        stages: [stage("s"), stage("s", { attempt: 2, startMs: startMs + 4, endMs: startMs + 5 })],
        failures: [{ index: 7, code: "bad", message: "no", stage: "s" }],
      }),
    );
    const attempts = spans().filter((span) => span.name === "leat.stage s");
    expect(attempts.map((span) => [span.attributes["leat.attempt"], span.events.length])).toEqual([
      [1, 0],
      [2, 1],
    ]);
  });
});

describe("a parent", () => {
  test("that is not sampled leaves the batch unrecorded", () => {
    const { tracer, spans } = setUp();
    expect(tracer.start("batch", "p", `00-${traceId}-${callerSpan}-00`)).toBeUndefined();
    expect(spans()).toEqual([]);
  });

  test("passes its tracestate on", () => {
    const { tracer, spans } = setUp();
    tracer.start("unary", "p", sampled, "vendor=1,other=2")?.finish(timing());
    expect(named(spans(), "leat.queue").spanContext().traceState?.serialize()).toBe("vendor=1,other=2");
  });

  test.each([
    undefined,
    "",
    "nonsense",
    `ff-${traceId}-${callerSpan}-01`,
    `00-${"0".repeat(32)}-${callerSpan}-01`,
    `00-${traceId}-${"0".repeat(16)}-01`,
    `00-${traceId}-${callerSpan}-01-more`,
    sampled.toUpperCase(),
  ])("that is %j starts a new trace", (traceparent) => {
    const { tracer, spans } = setUp();
    const trace = tracer.start("batch", "p", traceparent);
    trace?.finish(timing());
    expect(trace?.traceId).not.toBe(traceId);
    expect(named(spans(), "leat.batch").parentSpanContext).toBeUndefined();
  });

  test("of a later version of the specification is understood", () => {
    const { tracer } = setUp();
    expect(tracer.start("batch", "p", `01-${traceId}-${callerSpan}-01-more`)?.traceId).toBe(traceId);
  });
});

describe("failures", () => {
  test("are events of their stage; a module's own code is no error of the stage, a trap is", () => {
    const { tracer, spans } = setUp();
    tracer.start("batch", "p", undefined)?.finish(
      timing({
        stages: [stage("check"), stage("grind", { startMs: startMs + 3 })],
        failures: [
          { index: 4, code: "too_short", message: "3 characters", stage: "check" },
          { index: 9, code: "trap", message: "unreachable", stage: "grind" },
        ],
      }),
    );
    const check = named(spans(), "leat.stage check");
    expect(check.status.code).toBe(SpanStatusCode.UNSET);
    expect(check.events).toMatchObject([
      {
        name: "leat.record.failed",
        attributes: {
          "leat.record.index": 4,
          "leat.failure.code": "too_short",
          "leat.failure.message": "3 characters",
          "leat.stage": "check",
        },
      },
    ]);
    const grind = named(spans(), "leat.stage grind");
    expect(grind.status).toEqual({ code: SpanStatusCode.ERROR, message: "unreachable" });
    expect(grind.attributes["error.type"]).toBe("trap");
    expect(named(spans(), "leat.batch").attributes["leat.records.failed"]).toBe(2);
  });

  test("beyond the limit are counted, not listed", () => {
    const { tracer, spans } = setUp(5);
    const failures = Array.from({ length: 12 }, (_, index) => ({
      index,
      code: "bad",
      message: "no",
      stage: "s",
    }));
    tracer.start("batch", "p", undefined)?.finish(timing({ stages: [stage("s")], failures }));
    expect(named(spans(), "leat.stage s").events).toHaveLength(5);
    expect(named(spans(), "leat.batch").attributes["leat.failures.omitted"]).toBe(7);
  });

  test("of which no sample was kept are counted as well", () => {
    const { tracer, spans } = setUp(5);
    const failures = Array.from({ length: 2 }, (_, index) => ({
      index,
      code: "bad",
      message: "no",
      stage: "s",
    }));
    tracer
      .start("batch", "p", undefined)
      ?.finish(timing({ stages: [stage("s")], failures, recordsFailed: 300 }));
    expect(named(spans(), "leat.batch").attributes).toMatchObject({
      "leat.records.failed": 300,
      "leat.failures.omitted": 298,
    });
  });

  test("of the whole batch give its span the reason and the status", () => {
    const { tracer, spans } = setUp();
    const error = leatError("QUEUE_FULL", { limit: "maxAdmittedBatches", value: 1, measured: 2 });
    tracer.start("unary", "p", undefined)?.finish(timing({ error }));
    const root = named(spans(), "leat.v1.TransformService/Transform");
    expect(root.status).toEqual({ code: SpanStatusCode.ERROR, message: error.message });
    expect(root.attributes).toMatchObject({ "error.type": "QUEUE_FULL", "rpc.grpc.status_code": 8 });
  });
});

test("without telemetry nothing is started", () => {
  expect(new BatchTracer(undefined).start("batch", "p", sampled)).toBeUndefined();
});

test("finishing twice makes no second tree", () => {
  const { tracer, spans } = setUp();
  const trace = tracer.start("batch", "p", undefined);
  trace?.finish(timing());
  trace?.finish(timing());
  expect(spans()).toHaveLength(2);
});
