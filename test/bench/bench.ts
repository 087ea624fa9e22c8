/**
 * Compares Leat with its baselines: `npm run bench -- --help`. README.md tells how it measures.
 *
 * Exits with 1 when a subject could not be measured, or with `--check` when a goal is missed; with 2 for a
 * wrong command line.
 *
 * @module
 */

import { writeFile } from "node:fs/promises";
import { type BenchOptions, parseBenchArguments, UsageError, usage } from "./arguments.ts";
import { describeMachine } from "./machine.ts";
import { formatGroup, formatMachine } from "./report.ts";
import { type GroupResult, measureGroup } from "./rounds.ts";
import { startLoadProcess } from "./runs/launch.ts";

async function runBench(options: BenchOptions): Promise<boolean> {
  const machine = describeMachine();
  console.log(formatMachine(machine));
  console.log(`${options.rounds} rounds of ${options.seconds} s a run, runs in turn; figures are medians\n`);
  const groups: GroupResult[] = [];
  for (const group of options.groups) {
    // A new load process for each group: no group inherits another's heap.
    await using load = await startLoadProcess();
    const result = await measureGroup(group, { load }, options, (line) => console.error(line));
    groups.push(result);
    console.log(`${formatGroup(result)}\n`);
  }
  if (options.jsonFile !== undefined) {
    const { rounds, seconds } = options;
    await writeFile(options.jsonFile, `${JSON.stringify({ machine, rounds, seconds, groups }, null, 2)}\n`);
  }
  return passed(groups, options.check);
}

function passed(groups: readonly GroupResult[], check: boolean): boolean {
  const cases = groups.flatMap((group) => group.cases);
  const unavailable = cases.filter((one) => one.t === "unavailable");
  const missed = cases.filter((one) => one.t === "measured" && !one.met);
  console.log(`${cases.length - unavailable.length - missed.length} of ${cases.length} goals met`);
  if (missed.length > 0) console.log(`missed: ${missed.map(({ name }) => name).join(", ")}`);
  if (unavailable.length > 0) {
    console.error(`NOT MEASURED, subject unavailable: ${unavailable.map(({ name }) => name).join(", ")}`);
  }
  return unavailable.length === 0 && (missed.length === 0 || !check);
}

try {
  const options = parseBenchArguments(process.argv.slice(2));
  if (options === "help") console.log(usage);
  else if (!(await runBench(options))) process.exitCode = 1;
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  console.error(`${error.message}\n\n${usage}`);
  process.exitCode = 2;
}
