import { execFile } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { startOtlpReceiver } from "../../test/kit/otlp-receiver.ts";
import { systemClock } from "../clock.ts";
import { defaultLimits } from "../limits.ts";
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
    recordsFailed: 1,
  });
}

/** Telemetry that exports the figures of stats. */
async function exporting(endpoint: string, env: Readonly<Record<string, string>> = {}) {
  const telemetry = await startTelemetry({
    serviceVersion: "1.2.3",
    env: {
      OTEL_METRICS_EXPORTER: "otlp",
      OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
      OTEL_TRACES_EXPORTER: "none",
      ...env,
    },
  });
  const stats = new Stats();
  createMetrics(stats, { serviceVersion: "1.2.3", limits: defaultLimits, clock: systemClock, telemetry });
  return { telemetry, stats };
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
    expect(telemetry.exportFigures).toBeUndefined();
    const tracer = new BatchTracer(telemetry.tracer);
    expect(tracer.start("batch", "p", undefined)).toBeUndefined();
    traceOneBatch(tracer);
    await telemetry.shutdown();
    expect(receiver.spans).toHaveLength(3);
    expect(receiver.spans[0]?.resource["service.name"]).toBe("mill-race");
  });

  test("sends the metrics of the Prometheus text to the collector", async () => {
    await using receiver = await startOtlpReceiver();
    const { telemetry, stats } = await exporting(receiver.endpoint);
    expect(telemetry.tracer).toBeUndefined();
    stats.pipeline("flights").recordsIn += 42;
    await telemetry.shutdown();
    expect(receiver.points).toContainEqual({
      metric: "leat.records",
      value: 42,
      attributes: { pipeline: "flights", direction: "in" },
    });
  });

  test("sends every series, in messages of a bounded size, and none that has ended", async () => {
    await using receiver = await startOtlpReceiver();
    const { telemetry, stats } = await exporting(receiver.endpoint);
    for (let n = 0; n < 200; n++) stats.pipeline(`p${n}`);
    const tried = {
      module: "upper",
      version: "2",
      mode: "canary",
      share: 0.5,
      batches: 3,
      errors: 1,
    } as const;
    stats.rollouts = () => [{ ...tried, same: 0, different: 0, dropped: 0 }];
    const valuesOf = (metric: string) =>
      receiver.points.filter((point) => point.metric === metric).map(({ value }) => value);
    await telemetry.forceFlush();
    expect(valuesOf("leat.batch.size.bucket")).toHaveLength(200 * 14);
    expect(valuesOf("leat.rollout.share")).toEqual([0.5]);
    expect(receiver.metadata.length).toBeGreaterThan(1);
    stats.rollouts = () => [];
    await telemetry.forceFlush();
    expect(valuesOf("leat.batch.size.bucket")).toHaveLength(2 * 200 * 14);
    expect(valuesOf("leat.rollout.share")).toEqual([0.5]);
    await telemetry.shutdown();
  });

  test("sends what counters grew by where that is asked for", async () => {
    await using receiver = await startOtlpReceiver();
    const { telemetry, stats } = await exporting(receiver.endpoint, {
      OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE: "delta",
    });
    const recordsIn = () =>
      receiver.points
        .filter(({ metric, attributes }) => metric === "leat.records" && attributes["direction"] === "in")
        .map(({ value }) => value);
    stats.pipeline("flights").recordsIn += 42;
    await telemetry.forceFlush();
    stats.pipeline("flights").recordsIn += 8;
    await telemetry.forceFlush();
    expect(recordsIn()).toEqual([42, 8]);
    await telemetry.shutdown();
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
    expect(telemetry.exportFigures).toBeUndefined();
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
      const clock = { nowMs: () => 0, wallMs: () => 0 };
      const limits = { maxMetricsAgeMs: 0 };
      const metrics = createMetrics(new Stats(), { serviceVersion: "1", limits, clock, telemetry });
      await metrics.prometheusText();
      console.log(loaded.filter((url) => url.includes("/@opentelemetry/")).length);
    `;
    const { stdout } = await promisify(execFile)(process.execPath, [
      "--input-type=module",
      "--eval",
      program,
    ]);
    expect(stdout.trim()).toBe("0");
  });
});
