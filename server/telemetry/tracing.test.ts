import { execFile } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { startOtlpReceiver } from "../../test/kit/otlp-receiver.ts";
import { BatchTracer } from "./batch-trace.ts";
import { createMetrics } from "./metrics.ts";
import { Stats } from "./stats.ts";
import { startTelemetry } from "./tracing.ts";

const traceId = "0af7651916cd43dd8448eb211c80319c";
const callerSpan = "b7ad6b7169203331";

function traceOneBatch(tracer: BatchTracer): void {
  const now = Date.now();
  tracer.start("batch", "flights", `00-${traceId}-${callerSpan}-01`)?.finish({
    admittedMs: now + 0.5,
    startedMs: now + 1,
    endMs: now + 3,
    worker: 1,
    stages: [
      {
        name: "upper",
        module: "upper",
        version: "1.0.0",
        digest: "sha256:ab",
        startMs: now + 1,
        endMs: now + 2.25,
        recordsIn: 3,
        recordsOut: 2,
        recordsSkipped: 0,
        recordsFailed: 1,
        attempt: 1,
        instanceReused: false,
      },
    ],
    failures: [{ index: 2, code: "bad", message: "no", stage: "upper" }],
  });
}

function urlOf(path: string): string {
  return JSON.stringify(new URL(path, import.meta.url).href);
}

describe("export as the OTEL_* variables say", () => {
  test("sends the span tree to an OTLP/gRPC collector", async () => {
    await using receiver = await startOtlpReceiver();
    const telemetry = await startTelemetry({
      serviceVersion: "1.2.3",
      env: {
        OTEL_TRACES_EXPORTER: "otlp",
        OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint,
        OTEL_EXPORTER_OTLP_HEADERS: "x-tenant=mill",
        OTEL_RESOURCE_ATTRIBUTES: "deployment.environment=test",
        OTEL_METRICS_EXPORTER: "none",
      },
    });
    traceOneBatch(new BatchTracer(telemetry.tracer));
    await telemetry.forceFlush();
    const spans = await receiver.waitForSpans((received) => received.length >= 3);
    await telemetry.shutdown();

    expect(spans.map(({ name }) => name).toSorted()).toEqual([
      "leat.batch",
      "leat.queue",
      "leat.stage upper",
    ]);
    expect(new Set(spans.map((span) => span.traceId))).toEqual(new Set([traceId]));
    const root = spans.find(({ name }) => name === "leat.batch");
    expect(root).toMatchObject({
      parentSpanId: callerSpan,
      kind: 2,
      statusCode: 0,
      attributes: { "leat.pipeline": "flights", "leat.records.failed": 1 },
      resource: {
        "service.name": "leat",
        "service.version": "1.2.3",
        "deployment.environment": "test",
      },
    });
    expect(root?.resource).not.toHaveProperty("process.command_args");
    const stage = spans.find(({ name }) => name === "leat.stage upper");
    expect(stage?.parentSpanId).toBe(root?.spanId);
    expect(stage?.events).toMatchObject([
      { name: "leat.record.failed", attributes: { "leat.failure.code": "bad", "leat.record.index": 2 } },
    ]);
    expect((stage?.endNs ?? 0n) - (stage?.startNs ?? 0n)).toBe(1_250_000n);
    expect(receiver.metadata[0]?.get("x-tenant")).toEqual(["mill"]);
  });

  test("names the service and samples as told", async () => {
    await using receiver = await startOtlpReceiver();
    const telemetry = await startTelemetry({
      serviceVersion: "1.2.3",
      env: {
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: receiver.endpoint,
        OTEL_SERVICE_NAME: "mill-race",
        OTEL_TRACES_SAMPLER: "parentbased_always_off",
      },
    });
    expect(telemetry.meter).toBeUndefined();
    const tracer = new BatchTracer(telemetry.tracer);
    expect(tracer.start("batch", "p", undefined)).toBeUndefined();
    traceOneBatch(tracer);
    await telemetry.shutdown();
    expect(receiver.spans).toHaveLength(3);
    expect(receiver.spans[0]?.resource["service.name"]).toBe("mill-race");
  });

  test("sends the metrics of the Prometheus text to the collector", async () => {
    await using receiver = await startOtlpReceiver();
    const telemetry = await startTelemetry({
      serviceVersion: "1.2.3",
      env: {
        OTEL_METRICS_EXPORTER: "otlp",
        OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint,
        OTEL_TRACES_EXPORTER: "none",
      },
    });
    expect(telemetry.tracer).toBeUndefined();
    const stats = new Stats();
    const metrics = createMetrics(stats, { serviceVersion: "1.2.3", meter: telemetry.meter });
    stats.pipeline("flights").recordsIn += 42;
    await telemetry.shutdown();
    await metrics.shutdown();
    expect(receiver.points).toContainEqual({
      metric: "leat.records",
      value: 42,
      attributes: { pipeline: "flights", direction: "in" },
    });
  });

  test("leaves process.env as it was", async () => {
    await using receiver = await startOtlpReceiver();
    const before = { ...process.env };
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint };
    const telemetry = await startTelemetry({ serviceVersion: "1.2.3", env });
    expect({ ...process.env }).toEqual(before);
    await telemetry.shutdown();
  });

  test("a collector that is gone is logged and does not hold up the end", async () => {
    const receiver = await startOtlpReceiver();
    await receiver[Symbol.asyncDispose]();
    const lines: string[] = [];
    const note = (_fields: object, message: string) => lines.push(message);
    const telemetry = await startTelemetry({
      serviceVersion: "1.2.3",
      env: { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint, OTEL_EXPORTER_OTLP_TIMEOUT: "300" },
      log: { warn: note, error: note },
    });
    traceOneBatch(new BatchTracer(telemetry.tracer));
    await telemetry.shutdown();
    expect(lines.length).toBeGreaterThan(0);
  });
});

describe("a collector that takes and never answers", () => {
  test("does not hold up the end", async () => {
    // The connection is accepted and nothing is ever said on it.
    const sockets = new Set<Socket>();
    const silent = createServer((socket) => sockets.add(socket.on("error", () => {}))).listen(0, "127.0.0.1");
    await once(silent, "listening");
    const { port } = silent.address() as AddressInfo;
    const lines: string[] = [];
    const note = (_fields: object, message: string) => lines.push(message);
    const telemetry = await startTelemetry({
      serviceVersion: "1.2.3",
      env: { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `http://127.0.0.1:${port}` },
      log: { warn: note, error: note },
      maxFlushMs: 50,
    });
    traceOneBatch(new BatchTracer(telemetry.tracer));
    await telemetry.shutdown();
    expect(lines).toContain("the last telemetry was not exported");
    for (const socket of sockets) socket.destroy();
    silent.close();
  });
});

describe("without an exporter or an endpoint", () => {
  test.each([
    {},
    { OTEL_SERVICE_NAME: "leat" },
    { OTEL_TRACES_EXPORTER: "none" },
    { OTEL_TRACES_EXPORTER: "otlp", OTEL_SDK_DISABLED: "true" },
  ])("%j leaves telemetry off", async (env) => {
    const telemetry = await startTelemetry({ serviceVersion: "1.2.3", env });
    expect(telemetry.tracer).toBeUndefined();
    expect(telemetry.meter).toBeUndefined();
    await telemetry.forceFlush();
    await telemetry.shutdown();
  });

  test("none of the SDK is loaded", async () => {
    const program = `
      import { registerHooks } from "node:module";
      const loaded = [];
      registerHooks({
        load(url, context, nextLoad) {
          loaded.push(url);
          return nextLoad(url, context);
        },
      });
      const { startTelemetry } = await import(${urlOf("./tracing.ts")});
      const { createMetrics } = await import(${urlOf("./metrics.ts")});
      const { Stats } = await import(${urlOf("./stats.ts")});
      const telemetry = await startTelemetry({ serviceVersion: "1", env: {} });
      const metrics = createMetrics(new Stats(), { serviceVersion: "1", meter: telemetry.meter });
      const sdk = () => loaded.filter((url) => url.includes("/@opentelemetry/")).length;
      const before = sdk();
      await metrics.prometheusText();
      console.log(JSON.stringify({ before, after: sdk() }));
    `;
    const { stdout } = await promisify(execFile)(process.execPath, [
      "--input-type=module",
      "--eval",
      program,
    ]);
    const { before, after } = JSON.parse(stdout) as { before: number; after: number };
    expect(before).toBe(0);
    expect(after).toBeGreaterThan(0);
  });
});
