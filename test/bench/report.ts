/**
 * Prints what was measured.
 *
 * @module
 */

import type { Machine } from "./machine.ts";
import type { CaseResult, GroupResult, RunResult } from "./rounds.ts";
import type { Summary } from "./statistics.ts";

/** More than this many busy processes a core before the bench has begun make its figures doubtful. */
const busyPerCore = 0.5;

/** The machine, in two lines; a third warns when it is busy with something else. */
export function formatMachine(machine: Machine): string {
  const busy = machine.loadAverage > machine.cores * busyPerCore;
  return [
    `${machine.cores} × ${machine.cpu}, ${machine.memoryGiB} GiB, ${machine.system}, Node ${machine.node} (V8 ${machine.v8})`,
    `flags of every measured process: ${machine.flags.join(" ") || "none"}`,
    ...(busy ? [`BUSY MACHINE: load average ${machine.loadAverage.toFixed(1)}; figures are doubtful`] : []),
  ].join("\n");
}

/** One group: its cases with their goals, then the absolute numbers they are made of. */
export function formatGroup(group: GroupResult): string {
  const cases = table([
    ["case", "figure", "min … max", "goal", "", "measure"],
    ...group.cases.map((one) => [one.name, ...caseCells(one), one.measure]),
  ]);
  const runs = table([
    ["run", "per second", "min … max", "CPU µs", "min … max", "client µs", "GCs", "allocated B"],
    ...group.runs.map(runCells),
  ]);
  return `${group.title}\n\n${cases}\n\n${runs}`;
}

function caseCells(one: CaseResult): string[] {
  const goal = `${one.goal.bound === "at least" ? "≥" : "≤"} ${one.goal.value}${suffix(one.unit)}`;
  if (one.t === "unavailable") return ["-", "", goal, "UNAVAILABLE"];
  const figure = (value: number) => `${short(value)}${suffix(one.unit)}`;
  return [figure(one.figure.median), spread(one.figure), goal, one.met ? "met" : "MISSED"];
}

function suffix(unit: string): string {
  return unit === "" ? "" : ` ${unit}`;
}

function runCells(run: RunResult): string[] {
  const allocated = run.samples[0]?.allocatedPerUnit;
  return [
    `${run.name}`,
    `${short(run.perSecond.median)} ${run.unit === "batch" ? "batches" : `${run.unit}s`}`,
    spread(run.perSecond),
    short(run.cpuUsPerUnit.median),
    spread(run.cpuUsPerUnit),
    short(run.clientCpuUsPerUnit.median),
    short(run.collections.median),
    allocated
      ? `heap ${short(allocated.mainHeap)} main + ${short(allocated.workerHeap)} workers, external ${short(allocated.external)}`
      : "",
  ];
}

function spread(summary: Summary): string {
  return `${short(summary.min)} … ${short(summary.max)}`;
}

/** Three significant digits, without exponents. */
function short(value: number): string {
  if (value === 0) return "0";
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(digits, 3));
}

function table(rows: readonly (readonly string[])[]): string {
  const columns = Math.max(...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, i) =>
    Math.max(...rows.map((row) => row[i]?.length ?? 0)),
  );
  return rows
    .map((row) => `  ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join("  ")}`.trimEnd())
    .join("\n");
}
