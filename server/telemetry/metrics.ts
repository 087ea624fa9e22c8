/**
 * Shows the server's figures to Prometheus and, where telemetry exports metrics, to an
 * OpenTelemetry collector.
 *
 * @module
 */

import type { Meter } from "@opentelemetry/api";
import { registerInstruments } from "./instruments.ts";
import type { Stats } from "./stats.ts";

/** The content type of {@link Metrics.prometheusText}. */
export const prometheusContentType = "text/plain; version=0.0.4; charset=utf-8";

/** What the metrics need beside the figures. */
export interface MetricsOptions {
  /** The server's version. */
  serviceVersion: string;
  /** The meter of {@link startTelemetry}, through which metrics are exported. Default: no export. */
  meter?: Meter | undefined;
}

/** The figures as metrics. */
export interface Metrics {
  /** All figures at this moment, in Prometheus's text format 0.0.4. */
  prometheusText(): Promise<string>;
  /** Ends collecting. */
  shutdown(): Promise<void>;
}

interface Prometheus {
  text(): Promise<string>;
  shutdown(): Promise<void>;
}

/**
 * Makes metrics of the figures. Collecting costs something only when somebody asks; what
 * Prometheus needs is loaded with the first request.
 */
export function createMetrics(stats: Stats, options: MetricsOptions): Metrics {
  if (options.meter !== undefined) registerInstruments(options.meter, stats);
  let prometheus: Promise<Prometheus> | undefined;
  return {
    prometheusText: async () => {
      prometheus ??= startPrometheus(stats, options.serviceVersion);
      return (await prometheus).text();
    },
    shutdown: async () => {
      await (await prometheus)?.shutdown();
    },
  };
}

async function startPrometheus(stats: Stats, serviceVersion: string): Promise<Prometheus> {
  const [{ MeterProvider, MetricReader }, { PrometheusSerializer }, { resourceFromAttributes }] =
    await Promise.all([
      import("@opentelemetry/sdk-metrics"),
      import("@opentelemetry/exporter-prometheus"),
      import("@opentelemetry/resources"),
    ]);

  /** Collects when asked, and only then. */
  class PullReader extends MetricReader {
    protected override async onForceFlush(): Promise<void> {}
    protected override async onShutdown(): Promise<void> {}
  }

  const reader = new PullReader();
  const resource = resourceFromAttributes({ "service.name": "leat", "service.version": serviceVersion });
  const provider = new MeterProvider({ readers: [reader], resource });
  registerInstruments(provider.getMeter("leat", serviceVersion), stats);
  // Without scope labels: there is only one scope, and they would be on every line.
  const serializer = new PrometheusSerializer(undefined, false, undefined, false, true);
  return {
    text: async () => {
      const { resourceMetrics, errors } = await reader.collect();
      if (errors.length > 0) throw new AggregateError(errors, "metrics could not be collected");
      return serializer.serialize(resourceMetrics);
    },
    shutdown: () => provider.shutdown(),
  };
}
