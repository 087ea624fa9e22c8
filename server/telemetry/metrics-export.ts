/**
 * Exports the figures as the standard `OTEL_METRICS_*` variables say.
 *
 * OpenTelemetry's own instruments remember every label set that they were ever told, up to a bound beyond which new ones
 * are told together. The figures are bounded where they are counted, and what is unloaded or removed ends; so readers
 * are given the figures as they are at each export, and keep nothing.
 *
 * @module
 */

import { setImmediate as nextTurn } from "node:timers/promises";
import { diag, ValueType } from "@opentelemetry/api";
import { millisToHrTime } from "@opentelemetry/core";
import { resourceFromAttributes } from "@opentelemetry/resources";
import {
  AggregationTemporality,
  type CollectionResult,
  ConsoleMetricExporter,
  type DataPoint,
  DataPointType,
  InstrumentType,
  type MetricData,
  type MetricProducer,
  type MetricReader,
  PeriodicExportingMetricReader,
  type PushMetricExporter,
} from "@opentelemetry/sdk-metrics";
import { type Instrument, type Instruments, seriesOf } from "./instrument-group.ts";

/** The environment that says where metrics go. */
export type ExportEnvironment = Readonly<Record<string, string | undefined>>;

/** Figures to be exported. */
export interface ExportedFigures {
  readonly instruments: Instruments;
  /** Since when they count, in milliseconds since the Unix epoch. */
  readonly startMs: number;
}

/** What makes an exporter; it reads the rest of its settings from `process.env`. */
type MakeExporter = () => PushMetricExporter;

/** Points of one message: about 500 KB, which every collector takes. */
const maxPointsPerExport = 2_000;

/** The defaults of OpenTelemetry. Source: its specification of environment variables, periodic exporting MetricReader. */
const defaultIntervalMs = 60_000;
const defaultTimeoutMs = 30_000;

/**
 * Loads what the environment asks for.
 *
 * @param figures - reads what is exported; undefined before there is something
 * @returns a function that makes the readers, to be called while `process.env` is that environment
 */
export async function loadMetricReaders(
  env: ExportEnvironment,
  scope: { readonly name: string; readonly version: string },
  figures: () => ExportedFigures | undefined,
): Promise<() => MetricReader[]> {
  const names = new Set(listOf(env["OTEL_METRICS_EXPORTER"] ?? "otlp"));
  const makes: (() => MetricReader)[] = [];
  const pushes = (make: MakeExporter) => () => {
    const exporter = make();
    const temporality = exporter.selectAggregationTemporality?.(InstrumentType.OBSERVABLE_COUNTER);
    const delta = temporality === AggregationTemporality.DELTA;
    const producer = new FigureProducer(scope, figures, delta);
    return new PeriodicExportingMetricReader({
      exporter,
      metricProducers: [producer],
      maxExportBatchSize: maxPointsPerExport,
      ...timesFrom(env),
    });
  };
  for (const name of names) {
    if (name === "otlp") makes.push(pushes(await loadOtlpExporter(env)));
    else if (name === "console") makes.push(pushes(() => new ConsoleMetricExporter()));
    else if (name === "prometheus") {
      const { PrometheusExporter } = await import("@opentelemetry/exporter-prometheus");
      const host = env["OTEL_EXPORTER_PROMETHEUS_HOST"];
      const port = positive(env["OTEL_EXPORTER_PROMETHEUS_PORT"]);
      const metricProducers = [new FigureProducer(scope, figures, false)];
      makes.push(
        () => new PrometheusExporter({ metricProducers, ...(host && { host }), ...(port && { port }) }),
      );
    } else diag.warn(`OTEL_METRICS_EXPORTER names "${name}"; it may name otlp, console, prometheus and none`);
  }
  return () => makes.map((make) => make());
}

/** Loads the exporter of the protocol that the environment names. */
async function loadOtlpExporter(env: ExportEnvironment): Promise<MakeExporter> {
  const named = env["OTEL_EXPORTER_OTLP_METRICS_PROTOCOL"] ?? env["OTEL_EXPORTER_OTLP_PROTOCOL"];
  const protocol = named?.trim() || "grpc";
  if (protocol === "grpc") {
    const { OTLPMetricExporter } = await import("@opentelemetry/exporter-metrics-otlp-grpc");
    return () => new OTLPMetricExporter();
  }
  if (protocol === "http/json") {
    const { OTLPMetricExporter } = await import("@opentelemetry/exporter-metrics-otlp-http");
    return () => new OTLPMetricExporter();
  }
  if (protocol !== "http/protobuf") diag.warn(`"${protocol}" is no protocol of OTLP; http/protobuf is used`);
  const { OTLPMetricExporter } = await import("@opentelemetry/exporter-metrics-otlp-proto");
  return () => new OTLPMetricExporter();
}

/** How often the figures are exported, and how long that may take. */
function timesFrom(env: ExportEnvironment): { exportIntervalMillis: number; exportTimeoutMillis: number } {
  const intervalMs = positive(env["OTEL_METRIC_EXPORT_INTERVAL"]) ?? defaultIntervalMs;
  const timeoutMs = positive(env["OTEL_METRIC_EXPORT_TIMEOUT"]) ?? defaultTimeoutMs;
  return { exportIntervalMillis: intervalMs, exportTimeoutMillis: Math.min(timeoutMs, intervalMs) };
}

function listOf(text: string): string[] {
  return text
    .split(",")
    .map((each) => each.trim())
    .filter((each) => each !== "");
}

function positive(text: string | undefined): number | undefined {
  const value = Number(text?.trim() || Number.NaN);
  return Number.isFinite(value) && value > 0 ? value : undefined;
}

/** Gives a reader the figures as they are, in pieces with turns of the event loop between. */
class FigureProducer implements MetricProducer {
  readonly #scope: { readonly name: string; readonly version: string };
  readonly #figures: () => ExportedFigures | undefined;
  /** The counters as they were last told, where their growth is told. */
  #told: Map<string, number> | undefined;
  #toldMs = 0;

  /** @param delta - whether counters tell what they grew by since the last time, rather than all */
  constructor(
    scope: { readonly name: string; readonly version: string },
    figures: () => ExportedFigures | undefined,
    delta: boolean,
  ) {
    this.#scope = scope;
    this.#figures = figures;
    this.#told = delta ? new Map() : undefined;
  }

  async collect(): Promise<CollectionResult> {
    const figures = this.#figures();
    const metrics = figures === undefined ? [] : await this.#metrics(figures);
    const scopeMetrics = metrics.length === 0 ? [] : [{ scope: this.#scope, metrics }];
    return { resourceMetrics: { resource: resourceFromAttributes({}), scopeMetrics }, errors: [] };
  }

  async #metrics({ instruments, startMs }: ExportedFigures): Promise<MetricData[]> {
    const nowMs = Date.now();
    const told = new Map<string, number>();
    const before = this.#told;
    const startTime = millisToHrTime(before !== undefined && this.#toldMs > 0 ? this.#toldMs : startMs);
    const endTime = millisToHrTime(nowMs);
    const points = new Map<Instrument, Map<string, DataPoint<number>>>();
    const reading = instruments.read((instrument, value, labels = {}) => {
      const series = points.get(instrument) ?? new Map<string, DataPoint<number>>();
      points.set(instrument, series);
      const key = seriesOf(labels);
      if (series.has(key)) return;
      let growth = value;
      if (before !== undefined && instrument.kind === "counter") {
        const last = before.get(`${instrument.name}${key}`) ?? 0;
        told.set(`${instrument.name}${key}`, value);
        // A series that had ended and has begun anew counts from 0.
        growth = value >= last ? value - last : value;
      }
      series.set(key, { startTime, endTime, attributes: labels, value: growth });
    });
    for (const _ of reading) await nextTurn();
    if (before !== undefined) this.#told = told;
    this.#toldMs = nowMs;
    return Array.from(points, ([instrument, series]) =>
      metricOf(instrument, [...series.values()], before !== undefined),
    );
  }
}

function metricOf(
  { name, kind, description, unit }: Instrument,
  dataPoints: DataPoint<number>[],
  delta: boolean,
): MetricData {
  const descriptor = { name, description, unit, valueType: ValueType.DOUBLE };
  const cumulative = AggregationTemporality.CUMULATIVE;
  if (kind === "gauge")
    return { descriptor, dataPoints, dataPointType: DataPointType.GAUGE, aggregationTemporality: cumulative };
  return {
    descriptor,
    dataPoints,
    dataPointType: DataPointType.SUM,
    isMonotonic: true,
    aggregationTemporality: delta ? AggregationTemporality.DELTA : cumulative,
  };
}
