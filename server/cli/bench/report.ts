import { formatCount, formatFields, formatSize } from "../text-table.ts";
import type { BenchReport } from "./measure.ts";

/** A measurement for people. */
export function formatReport(report: BenchReport): string {
  const { latencyMs: latency, window } = report;
  const clients =
    report.mode === "unary"
      ? `${report.clients} unary callers`
      : `${report.clients} ${report.clients === 1 ? "stream" : "streams"}${window === undefined ? "" : `, window ${window}`}`;
  return formatFields([
    ["target", report.target],
    ["load", `${clients}, ${report.batchRecords} records a batch (${formatSize(report.batchBytes)})`],
    ["measured", `${report.durationMs / 1_000} s, ${formatCount(report.batches)} batches`],
    ["batches/s", formatCount(report.batchesPerSecond)],
    ["records/s", formatCount(report.recordsPerSecond)],
    ["MB/s", String(report.megabytesPerSecond)],
    [
      "latency",
      `p50 ${latency.p50} ms, p90 ${latency.p90} ms, p99 ${latency.p99} ms, p99.9 ${latency.p999} ms, max ${latency.max} ms`,
    ],
    [
      "failed",
      `${formatCount(report.recordsFailed)} records, ${formatCount(report.callErrors)} batches as a whole`,
    ],
  ]);
}
