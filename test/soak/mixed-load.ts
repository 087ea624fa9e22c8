/**
 * Every kind of work at once, for as long as wanted, with the server's figures on the way and a verdict on leaks at the
 * end: the case `mixed` of `npm run soak`. Loading this file runs it.
 *
 * @module
 */

import { setTimeout as delay } from "node:timers/promises";
import { inspect } from "node:util";
import { Leat } from "@leat/sdk";
import { nothingHeld } from "../faults/process-cases.ts";
import { type Holdings, holdingsOf, startSupervised } from "../faults/supervised.ts";
import { Random } from "../fuzz/random.ts";
import { inspectable, openInspector } from "./inspected.ts";
import { loops } from "./load-loops.ts";
import { numbers } from "./soak-flags.ts";

const periodMs = 10_000;

/**
 * What the server may gain in memory that it can reach, from the first third of the readings to the last. They are taken at
 * rest, with the garbage collected: compiled modules, figures and buffers of connections move it by a few MiB. One
 * record of 100 bytes kept in each batch would be more than this after some 100,000 batches.
 */
const allowedReachableMiB = 16;
/**
 * What the process may be in all without question: old space of 1 GiB, which the flags of `leat serve` let V8 fill before it collects,
 * and the workers with their instances. Beyond that it may grow by a quarter after the first third.
 */
const unquestionedRssMiB = 1_536;
const allowedRssGrowth = 1.25;

const pipelines = ["program", "marked"]
  .map((name) => `---\nname: ${name}\nstages:\n  - module: ${name}\n    breaker: { disabled: true }\n`)
  .join("");

await using server = await startSupervised({
  modules: { program: "program", marked: "marked" },
  pipelines,
  env: inspectable,
  flags: [
    "--limit",
    "maxRecordExecutionMs=500",
    "--limit",
    "maxBatchExecutionMs=2000",
    "--limit",
    "maxWorkerStops=0",
  ],
});
const firstPid = server.pid();
if (firstPid === undefined) throw new Error("there is no server process");
const pid = firstPid;
using inspector = await openInspector(pid, () => server.serve.stderr());
console.log(`seed ${numbers.seed}, ${numbers.minutes} min`);

const counts: Record<string, number> = {};
/** What the server held at rest. */
interface Reading extends Holdings {
  /** JavaScript's objects, and what they hold outside of the heap. */
  readonly reachableMiB: number;
}

const readings: Reading[] = [];
const problems: string[] = [];
const endMs = performance.now() + numbers.minutes * 60_000;
const startMs = performance.now();
let round = 0;
while (performance.now() < endMs && problems.length === 0) {
  await runFor(Math.ceil(Math.min(periodMs, Math.max(1_000, endMs - performance.now()))), round++);
  await rest();
}
report();

/** Says at once what went wrong, with all that the error knows: what comes after may hide it. */
function fail(where: string, error: unknown): void {
  const problem = `${where}: ${inspect(error, { depth: 8, breakLength: 160 })}`;
  problems.push(problem);
  console.log(`  WRONG (seed ${numbers.seed}): ${problem}`);
}

/** All loops for a while, on connections of their own. */
async function runFor(ms: number, turn: number): Promise<void> {
  const stop = AbortSignal.timeout(ms);
  await Promise.all(
    Object.entries(loops).map(async ([name, loop], place) => {
      await using leat = new Leat(server.serve.address);
      const random = new Random(numbers.seed, turn * 100 + place);
      const count = (what: string, by = 1): void => {
        counts[what] = (counts[what] ?? 0) + by;
      };
      await loop({ leat, random, stop, count }).catch((error) => {
        fail(`${name} in round ${turn}`, error);
      });
    }),
  );
}

/** Waits until the server has given everything back, and looks at what it still holds. */
async function rest(): Promise<void> {
  await nothingHeld(server).catch((error) => fail("at rest", error));
  await delay(200);
  if (server.pid() !== pid) {
    problems.push("the server process was started again");
    return;
  }
  await inspector.collectGarbage();
  const held = { ...holdingsOf(pid), reachableMiB: await reachableMiB() };
  readings.push(held);
  const seconds = Math.round((performance.now() - startMs) / 1_000);
  const done = Object.entries(counts).map(([what, count]) => `${count} ${what}`);
  console.log(
    `${String(seconds).padStart(5)} s  ${held.reachableMiB} MiB reachable of ${held.rssMiB} MiB, ${held.handles} handles, ${held.threads} threads  ${done.join(", ")}`,
  );
}

async function reachableMiB(): Promise<number> {
  await using leat = new Leat(server.serve.address);
  const { snapshot } = await leat.metrics.metrics({});
  const { heapUsedBytes = 0n, externalBytes = 0n } = snapshot?.process ?? {};
  return Math.round(Number(heapUsedBytes + externalBytes) / 2 ** 20);
}

function report(): void {
  const warm = readings[Math.floor(readings.length / 3)];
  const last = readings.at(-1);
  if (warm === undefined || last === undefined) problems.push("nothing was read");
  else {
    const bound = Math.round(Math.max(warm.rssMiB * allowedRssGrowth, unquestionedRssMiB));
    console.log(
      `at rest after a third of the time and at the end: ${warm.reachableMiB} and ${last.reachableMiB} MiB reachable ` +
        `(${allowedReachableMiB} more allowed), ${warm.rssMiB} and ${last.rssMiB} MiB resident (${bound} allowed)`,
    );
    if (last.reachableMiB > warm.reachableMiB + allowedReachableMiB) problems.push("reachable memory grew");
    if (last.rssMiB > bound) problems.push("resident memory grew");
    // The pool keeps spares, and a listener's connection may be closing.
    if (last.handles > warm.handles + 10) problems.push(`${warm.handles} handles became ${last.handles}`);
    if (last.threads > warm.threads + 4) problems.push(`${warm.threads} threads became ${last.threads}`);
  }
  for (const problem of problems) console.log(`FAILED: ${problem}`);
  if (problems.length > 0)
    console.log(`  replay: npm run soak -- --case mixed --seed ${numbers.seed} --minutes ${numbers.minutes}`);
  if (problems.length === 0) console.log("no leak, no wrong answer");
  if (problems.length > 0) process.exitCode = 1;
}
