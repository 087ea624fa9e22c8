/**
 * Attacks the server with broken modules, signatures, requests on both doors and streams: `npm run test:fuzz`.
 *
 * Each case runs in a process of its own. When that dies or hangs, a file tells at which try, and the line to
 * replay it is printed.
 *
 * @module
 */

import { type ChildProcess, fork } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nodeFlags } from "../../server/node-flags.ts";
import { freshSeed, readFlags } from "./flags.ts";
import type { FuzzFigures, FuzzOrder } from "./fuzz-case.ts";

/** The cases, each with the tries of a full run. */
const fullCounts = {
  inspect: 100_000,
  bodies: 200_000,
  load: 100_000,
  signatures: 1_000_000,
  requests: 1_000_000,
  connect: 100_000,
  streams: 100_000,
};
type CaseName = keyof typeof fullCounts;
const caseNames = Object.keys(fullCounts) as CaseName[];

const usage = `npm run test:fuzz [-- OPTIONS]

  --case NAME    ${caseNames.join(", ")}; may be repeated (default: all)
  --seconds N    how long each case runs at most (default 20)
  --count N      tries of each case at most (default: as many as fit)
  --full 1       the tries of a full run, however long they take: ${JSON.stringify(fullCounts)}
  --seed N       replay the tries of an earlier run
  --from N       begin with that try (default 0)`;

/** A try that takes longer hangs. */
const maxTryMs = 60_000;
/** Before the first try a case may have to compile the example modules. */
const maxStartMs = 300_000;

interface Outcome {
  readonly figures?: FuzzFigures;
  readonly index?: number;
  readonly problem?: string;
}

const { numbers, cases } = readFlags(
  usage,
  { seed: freshSeed(), seconds: 20, count: 2 ** 40, full: 0, from: 0 },
  caseNames,
);
const { seed, from } = numbers;
console.log(`seed ${seed}`);
const folder = mkdtempSync(join(tmpdir(), "leat-fuzz-"));
let failed = false;
try {
  for (const name of cases as CaseName[]) {
    const full = numbers.full > 0;
    const count = full ? fullCounts[name] : numbers.count;
    const outcome = await run(name, { seed, from, count, seconds: full ? 2 ** 31 : numbers.seconds });
    failed ||= outcome.figures === undefined;
    report(name, outcome);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.exitCode = failed ? 1 : 0;

async function run(name: CaseName, order: FuzzOrder): Promise<Outcome> {
  const progress = join(folder, name);
  const child = fork(new URL("./fuzz-process.ts", import.meta.url), [name, JSON.stringify(order), progress], {
    execArgv: [...nodeFlags, "--expose-gc"],
  });
  const outcome = Promise.withResolvers<Outcome>();
  child.once("message", (message) => outcome.resolve(message as Outcome));
  const guard = watch(child, progress);
  child.once("close", (code, signal) => {
    clearInterval(guard);
    // What came first stays.
    outcome.resolve({
      index: lastTry(progress) ?? 0,
      problem: `the process ended with ${signal ?? `exit code ${code}`}`,
    });
  });
  const first = await outcome.promise;
  if (child.exitCode === null && child.signalCode === null)
    await new Promise((resolve) => child.once("close", resolve));
  if (first.figures !== undefined && child.exitCode !== 0)
    return { problem: `the case ended with ${child.signalCode ?? `exit code ${child.exitCode}`}` };
  return first;
}

/** Kills a process that stays at one try, or comes to none. */
function watch(child: ChildProcess, progress: string): NodeJS.Timeout {
  let before: number | undefined;
  let sinceMs = performance.now();
  return setInterval(() => {
    const now = lastTry(progress);
    if (now !== before) {
      before = now;
      sinceMs = performance.now();
    } else if (performance.now() - sinceMs > (now === undefined ? maxStartMs : maxTryMs))
      child.kill("SIGKILL");
  }, 1_000);
}

function lastTry(progress: string): number | undefined {
  try {
    const bytes = readFileSync(progress);
    return bytes.length === 8 ? bytes.readDoubleLE() : undefined;
  } catch {
    return undefined;
  }
}

function report(name: CaseName, { figures, index, problem }: Outcome): void {
  if (figures === undefined) {
    console.log(`${name}: FAILED${index === undefined ? "" : ` at try ${index}`}: ${problem}`);
    if (index !== undefined)
      console.log(`  replay: npm run test:fuzz -- --case ${name} --seed ${seed} --from ${index} --count 1`);
    return;
  }
  const rate = figures.tries / figures.seconds;
  const hours = fullCounts[name] / rate / 3_600;
  console.log(
    `${name}: ${figures.tries} tries in ${figures.seconds.toFixed(1)} s, ${Math.round(rate)}/s, ${figures.reachableMiB.warm} to ${figures.reachableMiB.end} MiB reachable; ` +
      `a full run of ${fullCounts[name]} takes ${hours < 0.1 ? `${Math.ceil(hours * 60)} min` : `${hours.toFixed(1)} h`}`,
  );
  const sorted = Object.entries(figures.outcomes).toSorted(([, a], [, b]) => b - a);
  for (const [outcome, count] of sorted) console.log(`  ${String(count).padStart(8)}  ${outcome}`);
}
