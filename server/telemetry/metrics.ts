/**
 * Shows the server's figures to Prometheus and, where telemetry exports metrics, to an
 * OpenTelemetry collector.
 *
 * @module
 */

import type { Clock } from "../clock.ts";
import type { Limits } from "../limits.ts";
import { instrumentsOf } from "./instruments.ts";
import { prometheusText } from "./prometheus-text.ts";
import type { Stats } from "./stats.ts";
import type { Telemetry } from "./tracing.ts";

/** What the metrics need beside the figures. */
export interface MetricsOptions {
  /** The server's version. */
  readonly serviceVersion: string;
  readonly limits: Readonly<Pick<Limits, "maxMetricsAgeMs">>;
  readonly clock: Clock;
  /** Exports metrics too. Default: no export. */
  readonly telemetry?: Pick<Telemetry, "exportFigures">;
  /** Brings those figures up to date that do not change by themselves. Default: there are none. */
  readonly refresh?: () => void;
}

/** The figures as metrics. */
export interface Metrics {
  /**
   * All figures in Prometheus's text format 0.0.4, in pieces, at most `maxMetricsAgeMs` old. Whoever asks while the text
   * is being written, or within that time, gets the same.
   */
  prometheusText(): Promise<readonly Buffer[]>;
  /** Forgets the text. */
  close(): void;
}

/** Makes metrics of the figures. Collecting costs something only when somebody asks. */
export function createMetrics(stats: Stats, options: MetricsOptions): Metrics {
  const { serviceVersion, limits, clock, telemetry, refresh } = options;
  const instruments = instrumentsOf(stats);
  telemetry?.exportFigures?.({ instruments, startMs: stats.startMs });
  const target = { service_name: "leat", service_version: serviceVersion };
  let shared: { readonly text: Promise<readonly Buffer[]>; readonly sinceMs: number } | undefined;
  let writing = false;
  let forget: NodeJS.Timeout | undefined;

  const write = async (): Promise<readonly Buffer[]> => {
    writing = true;
    clearTimeout(forget);
    try {
      refresh?.();
      return await prometheusText(instruments, target);
    } finally {
      writing = false;
      // A text of some megabytes is not kept for somebody who comes every 15 seconds.
      forget = setTimeout(() => {
        shared = undefined;
      }, limits.maxMetricsAgeMs).unref();
    }
  };
  return {
    prometheusText: () => {
      const nowMs = clock.nowMs();
      if (shared !== undefined && (writing || nowMs - shared.sinceMs < limits.maxMetricsAgeMs))
        return shared.text;
      const text = write();
      shared = { text, sinceMs: nowMs };
      text.catch(() => {
        if (shared?.text === text) shared = undefined;
      });
      return text;
    },
    close: () => {
      clearTimeout(forget);
      shared = undefined;
    },
  };
}
