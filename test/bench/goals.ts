/**
 * Goals of programs that measure: bounds on figures, and the verdict on what was measured.
 *
 * @module
 */

import os from "node:os";

/** A bound on a figure. */
export interface MeasuredGoal {
  /** What is measured, as the verdict names it. */
  readonly what: string;
  /** The figure may be this, and no more. */
  readonly most: number;
  readonly unit: string;
  /** Whether other work on the machine spoils the figure. The verdict then says how much there was. */
  readonly quietMachine: boolean;
}

/** What a figure came to. */
export interface Verdict {
  readonly met: boolean;
  /** For the reader. */
  readonly line: string;
}

/**
 * Holds a figure against its goal. What is no number misses it.
 *
 * @param load - processes that were running or waiting to, over the last minute. Default: this machine's
 */
export function judgeGoal(goal: MeasuredGoal, figure: number, load = os.loadavg()[0] ?? 0): Verdict {
  const met = figure <= goal.most;
  const machine = goal.quietMachine
    ? ` (counts on a quiet machine; load average ${load.toFixed(1)} on ${os.availableParallelism()} cores)`
    : "";
  const bound = `goal at most ${shown(goal.most)} ${goal.unit}`;
  return {
    met,
    line: `${met ? "met" : "MISSED"}: ${goal.what}: ${shown(figure)} ${goal.unit}, ${bound}${machine}`,
  };
}

/** Prints the verdicts; a missed goal makes the exit code of this process 1. */
export function reportGoals(verdicts: readonly Verdict[]): void {
  for (const { line } of verdicts) console.log(line);
  if (verdicts.some(({ met }) => !met)) process.exitCode = 1;
}

/** @throws Error that says what was measured, where that misses its goal */
export function requireGoal(goal: MeasuredGoal, figure: number): void {
  const { met, line } = judgeGoal(goal, figure);
  if (!met) throw new Error(line);
}

function shown(figure: number): string {
  return Number.isInteger(figure) ? String(figure) : figure.toFixed(1);
}
