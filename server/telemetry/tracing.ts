/**
 * Starts OpenTelemetry as the standard `OTEL_*` variables say.
 *
 * Telemetry is OFF, and none of the SDK is loaded (that takes a third of a second), unless
 * `OTEL_TRACES_EXPORTER` or `OTEL_METRICS_EXPORTER` names an exporter, or an endpoint is set:
 * `OTEL_EXPORTER_OTLP_ENDPOINT`, or its variants for traces or metrics. Once on, everything the
 * OpenTelemetry SDK for Node.js reads from the environment holds (endpoints, headers, TLS,
 * compression, sampler, limits, resource attributes), with these defaults of our own:
 *
 * - `OTEL_SERVICE_NAME` is `leat`;
 * - `OTEL_EXPORTER_OTLP_PROTOCOL` is `grpc`;
 * - sampling is parent-based, and traces that begin here are sampled.
 *
 * @module
 */

import type { DiagLogger, Tracer, TracerProvider } from "@opentelemetry/api";
import type { MetricReader } from "@opentelemetry/sdk-metrics";
import { defaultLimits } from "../limits.ts";
import type { ExportedFigures } from "./metrics-export.ts";

/** Takes what the exporters complain about. A pino logger fits. */
export interface ProblemLog {
  /** Something is amiss. */
  warn(fields: object, message: string): void;
  /** Something failed. */
  error(fields: object, message: string): void;
}

/** What telemetry starts from. */
export interface TelemetryOptions {
  /** The server's version: `service.version` of every span and metric. */
  serviceVersion: string;
  /** The environment. Default `process.env`. */
  env?: Readonly<Record<string, string | undefined>>;
  /** Takes problems with exporting, such as a collector that cannot be reached. Default: they are dropped. */
  log?: ProblemLog;
  /** The share of traces that begin here and are recorded, unless `OTEL_TRACES_SAMPLER` decides. Default 1. */
  sampleRatio?: number | undefined;
  /** How long the end waits for a collector, in milliseconds. Default `maxTelemetryFlushMs`. */
  maxFlushMs?: number;
}

/** Telemetry that runs, or does not. */
export interface Telemetry {
  /** Makes spans; undefined where no traces are exported. */
  readonly tracer: Tracer | undefined;
  /** Exports figures from now on; undefined where no metrics are exported. */
  readonly exportFigures: ((figures: ExportedFigures) => void) | undefined;
  /** Changes the share of traces that begin here and are recorded, from the next trace on; without effect where `OTEL_TRACES_SAMPLER` decides. */
  setSampleRatio(ratio: number): void;
  /** Exports the spans that wait, and the figures as they are. Rejects when that fails. */
  forceFlush(): Promise<void>;
  /** Exports what waits and ends telemetry. Never rejects, and waits `maxFlushMs` at most: a lost collector must not hold up a drain. */
  shutdown(): Promise<void>;
}

type Environment = Readonly<Record<string, string | undefined>>;

const off: Telemetry = {
  tracer: undefined,
  exportFigures: undefined,
  setSampleRatio: () => {},
  forceFlush: async () => {},
  shutdown: async () => {},
};

/** The instrumentation scope of all that the server emits. */
const scopeName = "leat";

/**
 * Starts telemetry where the environment asks for it. One at a time in a process: OpenTelemetry's
 * registry of providers is global.
 */
export async function startTelemetry(options: TelemetryOptions): Promise<Telemetry> {
  const { serviceVersion, env = process.env, log, maxFlushMs = defaultLimits.maxTelemetryFlushMs } = options;
  const traces = isExported(env, "TRACES");
  const metrics = isExported(env, "METRICS");
  if (env["OTEL_SDK_DISABLED"]?.trim().toLowerCase() === "true" || !(traces || metrics)) return off;
  const [api, { NodeSDK }, { defaultResource, resourceFromAttributes, ...detectors }, samplers] =
    await Promise.all([
      import("@opentelemetry/api"),
      import("@opentelemetry/sdk-node"),
      import("@opentelemetry/resources"),
      import("./sampling.ts"),
    ]);
  const sampler = env["OTEL_TRACES_SAMPLER"] ? undefined : new samplers.Sampling(options.sampleRatio ?? 1);
  let figures: ExportedFigures | undefined;
  const makeReaders = metrics
    ? await loadReaders(env, serviceVersion, () => figures)
    : (): MetricReader[] => [];
  let readers: readonly MetricReader[] = [];
  const sdk = withEnvironment(env, () => {
    readers = makeReaders();
    const started = new NodeSDK({
      resource: defaultResource().merge(
        resourceFromAttributes({ "service.name": "leat", "service.version": serviceVersion }),
      ),
      // Not the process detector: it would send the command line along.
      ...(env["OTEL_NODE_RESOURCE_DETECTORS"] === undefined && {
        resourceDetectors: [
          detectors.envDetector,
          detectors.serviceInstanceIdDetector,
          detectors.hostDetector,
          detectors.osDetector,
        ],
      }),
      logRecordProcessors: [],
      ...(sampler && { sampler: sampler.parentBased }),
      ...(traces ? {} : { spanProcessors: [] }),
      metricReaders: [...readers],
    });
    if (log !== undefined && env["OTEL_LOG_LEVEL"] === undefined) {
      const diag = { logLevel: api.DiagLogLevel.WARN, suppressOverrideMessage: true };
      api.diag.setLogger(diagLogger(log), diag);
    }
    started.start();
    return started;
  });
  const provider = api.trace.getTracerProvider();
  return {
    tracer: traces ? provider.getTracer(scopeName, serviceVersion) : undefined,
    exportFigures: metrics
      ? (shown) => {
          figures = shown;
        }
      : undefined,
    setSampleRatio: (ratio) => sampler?.setRatio(ratio),
    forceFlush: async () => {
      await Promise.all([flush(provider), ...readers.map((reader) => reader.forceFlush())]);
    },
    shutdown: async () => {
      await within(maxFlushMs, sdk.shutdown()).catch((error: unknown) =>
        log?.warn({ err: error }, "the last telemetry was not exported"),
      );
      for (const registry of [api.trace, api.metrics, api.propagation, api.context, api.logs, api.diag]) {
        registry.disable();
      }
    },
  };
}

/** Loads what exports metrics. @returns a function that makes the readers */
async function loadReaders(
  env: Environment,
  version: string,
  figures: () => ExportedFigures | undefined,
): Promise<() => MetricReader[]> {
  const { loadMetricReaders } = await import("./metrics-export.ts");
  return loadMetricReaders(env, { name: scopeName, version }, figures);
}

/** Whether the environment asks for the export of traces or of metrics. */
function isExported(env: Environment, signal: "TRACES" | "METRICS"): boolean {
  const exporters = env[`OTEL_${signal}_EXPORTER`]?.trim();
  if (exporters) return exporters !== "none";
  return Boolean(
    env["OTEL_EXPORTER_OTLP_ENDPOINT"]?.trim() || env[`OTEL_EXPORTER_OTLP_${signal}_ENDPOINT`]?.trim(),
  );
}

/** Runs a function while `process.env`, which is all that the SDK reads, has the `OTEL_*` variables of another environment. */
function withEnvironment<T>(env: Environment, run: () => T): T {
  const before = Object.entries(process.env).filter(([name]) => name.startsWith("OTEL_"));
  const during = Object.entries({ OTEL_EXPORTER_OTLP_PROTOCOL: "grpc", ...env }).filter(([name]) =>
    name.startsWith("OTEL_"),
  );
  replaceVariables(before, during);
  try {
    return run();
  } finally {
    replaceVariables(during, before);
  }
}

type Variables = readonly (readonly [name: string, value: string | undefined])[];

function replaceVariables(old: Variables, next: Variables): void {
  for (const [name] of old) delete process.env[name];
  for (const [name, value] of next) if (value !== undefined) process.env[name] = value;
}

/** Rejects when something takes longer than it may. */
async function within(maxMs: number, work: Promise<void>): Promise<void> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`the collector took longer than ${maxMs} ms`)), maxMs);
  try {
    await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Flushes the provider behind the global one, where it can be flushed. */
async function flush(provider: TracerProvider & { getDelegate?: () => TracerProvider }): Promise<void> {
  const delegate: TracerProvider & { forceFlush?: () => Promise<void> } =
    provider.getDelegate?.() ?? provider;
  await delegate.forceFlush?.();
}

function diagLogger(log: ProblemLog): DiagLogger {
  const ignore = () => {};
  return {
    error: (message, ...details) => log.error({ details }, `telemetry: ${message}`),
    warn: (message, ...details) => log.warn({ details }, `telemetry: ${message}`),
    info: ignore,
    debug: ignore,
    verbose: ignore,
  };
}
