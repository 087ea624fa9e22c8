/**
 * Takes the runs of a group in turn, round by round, and makes the cases' figures.
 *
 * @module
 */

import { Unavailable } from "./child.ts";
import type { Case, Goal, Group } from "./corpus.ts";
import { type Bench, cpuPerUnit, type OpenRun, type Run, rate, type Sample } from "./runs/run.ts";
import { type Summary, summarize } from "./statistics.ts";

/** What a case came to. */
export type CaseResult = { name: string; measure: string; unit: string; goal: Goal } & (
  | { t: "measured"; figure: Summary; met: boolean }
  | { t: "unavailable"; reason: string }
);

/** What a run came to, over all rounds. */
export interface RunResult {
  name: string;
  unit: string;
  perSecond: Summary;
  cpuUsPerUnit: Summary;
  clientCpuUsPerUnit: Summary;
  collections: Summary;
  samples: Sample[];
}

/** What a group came to. */
export interface GroupResult {
  name: string;
  title: string;
  runs: RunResult[];
  cases: CaseResult[];
}

/** How much to measure. */
export interface Amount {
  rounds: number;
  seconds: number;
}

/** The first measurement of a run waits for V8's optimiser, later ones only for the connection. */
const firstWarmupSeconds = 2;
const warmupSeconds = 0.5;

/** Measures a group. */
export async function measureGroup(
  group: Group,
  bench: Bench,
  amount: Amount,
  note: (line: string) => void,
): Promise<GroupResult> {
  await using open = new AsyncDisposableStack();
  const runs = new Map<string, { run: Run; open: OpenRun; samples: Sample[] }>();
  const missing = new Map<string, string>();
  for (const run of group.runs) {
    try {
      runs.set(run.name, { run, open: open.use(await run.open(bench)), samples: [] });
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      missing.set(run.name, error.message);
      note(`SUBJECT UNAVAILABLE ${run.name}: ${error.message}`);
    }
  }
  for (let round = 1; round <= amount.rounds; round++) {
    for (const { run, open, samples } of runs.values()) {
      note(`${group.name}: round ${round} of ${amount.rounds}, ${run.name}`);
      const first = samples.length === 0;
      samples.push(
        await open.measure({
          warmupSeconds: first ? Math.min(firstWarmupSeconds, amount.seconds * 2) : warmupSeconds,
          seconds: amount.seconds,
        }),
      );
    }
  }
  return {
    name: group.name,
    title: group.title,
    runs: [...runs.values()].map(({ run, samples }) => summarizeRun(run, samples)),
    cases: group.cases.map((one) => {
      const reason = one.runs.flatMap((name) => missing.get(name) ?? [])[0];
      if (reason !== undefined) return { ...describe(one), t: "unavailable", reason };
      return judge(one, amount.rounds, (name, round) => runs.get(name)?.samples[round]);
    }),
  };
}

function describe({ name, measure, unit, goal }: Case) {
  return { name, measure, unit, goal };
}

function judge(
  one: Case,
  rounds: number,
  sampleOf: (name: string, round: number) => Sample | undefined,
): CaseResult {
  const figures = Array.from({ length: rounds }, (_, round) =>
    one.figure((name) => {
      const sample = sampleOf(name, round);
      if (!sample) throw new Error(`case ${one.name} wants run ${name}, which its group has not`);
      return sample;
    }),
  );
  const figure = summarize(figures);
  const met =
    one.goal.bound === "at least" ? figure.median >= one.goal.value : figure.median <= one.goal.value;
  return { ...describe(one), t: "measured", figure, met };
}

function summarizeRun(run: Run, samples: Sample[]): RunResult {
  return {
    name: run.name,
    unit: run.unit,
    perSecond: summarize(samples.map(rate)),
    cpuUsPerUnit: summarize(samples.map(cpuPerUnit)),
    clientCpuUsPerUnit: summarize(samples.map((sample) => sample.clientCpuUs / sample.units)),
    collections: summarize(samples.map((sample) => sample.collections)),
    samples,
  };
}
