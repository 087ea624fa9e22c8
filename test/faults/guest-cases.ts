/**
 * Guests that misbehave, beside streams that must not suffer.
 *
 * @module
 */

import { Leat, text } from "@leat/sdk";
import { median } from "../bench/statistics.ts";
import { HealthyStream } from "../bench/timed-stream.ts";
import { type Misbehaviour, misbehavingModule, misbehaviours } from "../modules/misbehaving.ts";
import { type FaultOrder, nothingHeld } from "./process-cases.ts";
import { cpuSecondsOf, holdingsOf, machineTicks, type Supervised, startSupervised } from "./supervised.ts";

const limits = ["maxRecordExecutionMs=100", "maxBatchExecutionMs=500", "maxInitMs=300", "maxWorkerStops=0"];

function serve(modules: Readonly<Record<string, string>>): Promise<Supervised> {
  const pipelines = Object.keys(modules)
    .map((name) => `---\nname: ${name}\nstages:\n  - module: ${name}\n    breaker: { disabled: true }\n`)
    .join("");
  return startSupervised({ modules, pipelines, flags: limits.flatMap((limit) => ["--limit", limit]) });
}

/** What a record of `marked` begins with, and the code with which it fails. Each costs its instance, and some their worker. */
const poison: readonly (readonly [mark: string, code: string])[] = [
  ["!", "timeout"],
  ["~", "timeout"],
  ["#", "timeout"],
  ["%", "trap"],
  ["^", "stack_overflow"],
  ["$", "out_of_memory"],
];

/** Records that take instances and workers down, in a stream whose other records must come out. */
export async function workerLoss({ random, records }: FaultOrder): Promise<string> {
  await using server = await serve({ marked: "marked" });
  await using leat = new Leat(server.serve.address);
  const part = Math.ceil(records / 4);
  const bad = new Map(Array.from({ length: 40 }, () => [random.below(part), random.pick(poison)]));
  const pid = server.pid();
  function* source(): Generator<string> {
    for (let number = 0; number < part; number++) yield bad.get(number)?.[0] ?? `r${number}`;
  }
  let delivered = 0;
  const startMs = performance.now();
  for await (const result of leat.stream("marked", source(), { codec: text(), batchRecords: 100 })) {
    for (const outcome of result.outcomes) {
      const code = bad.get(delivered)?.[1];
      const right =
        code !== undefined
          ? outcome.status === "failed" && outcome.failure.code === code
          : outcome.status === "ok" && outcome.outputs[0] === `r${delivered}`;
      if (!right) throw new Error(`record ${delivered} gave ${JSON.stringify(outcome)}`);
      delivered++;
    }
  }
  if (delivered !== part) throw new Error(`${delivered} of ${part} records were delivered`);
  if (server.pid() !== pid) throw new Error("the server process was started again");
  await nothingHeld(server);
  const seconds = (performance.now() - startMs) / 1_000;
  return `${bad.size} records looped, trapped, recursed and took memory among ${part}, and ${await stoppedWorkers(leat)} workers were stopped: each has its code, all others were delivered in order, in ${seconds.toFixed(1)} s`;
}

async function stoppedWorkers(leat: Leat): Promise<number> {
  const { snapshot } = await leat.metrics.metrics({});
  return Object.values(snapshot?.pool?.stopped ?? {}).reduce((sum, count) => sum + Number(count), 0);
}

type Runs = Extract<Misbehaviour, { codes: readonly string[] }>;

/** How a healthy stream did, and what it took. */
interface Health {
  readonly perSecond: number;
  readonly p99Ms: number;
  readonly longestGapMs: number;
  /** Of one core, by the server process. */
  readonly serverCores: number;
  /** The share of all cores that nobody used. */
  readonly idle: number;
}

/** Three times alone and beside, in turns: other work on the machine comes and goes. */
const turns = 3;
const msPerTurn = 400;
/** Between two records of a guest: with none at all it is one of two equal streams, and half is its fair share. */
const msBetweenRecords = 50;
const leastThroughput = 0.8;
const mostP99 = 3;
/** A guest that takes so much of a core, on a machine with so little to spare, has spent what the stream would have needed. */
const spentCores = 0.5;
const spentIdle = 0.1;

/** What a guest costs the stream beside it. */
interface Cost {
  readonly name: string;
  readonly throughput: number;
  readonly p99: number;
  readonly longestGapMs: number;
  /** Of one core, by the guest and what its faults cause: what the server took beyond what the stream's batches take alone. */
  readonly guestCores: number;
  readonly idle: number;
  readonly quiet: Health;
}

/**
 * Runs each guest of the library, a record now and then, beside a healthy stream. What slows that down is told and no failure:
 * on a machine of two cores the client, the server and the guest share them. Where that explains it, the measurement says so.
 */
export async function beside(): Promise<string> {
  await using server = await serve({ uppercase: "uppercase" });
  await using leat = new Leat(server.serve.address);
  const pid = server.pid() ?? 0;
  await watchHealthy(server, async () => pause(msPerTurn * 3));
  const runs = misbehaviours.filter((each): each is Runs => "codes" in each);
  const rssBefore = holdingsOf(pid).rssMiB;
  const costs: Cost[] = [];
  for (const each of runs) costs.push(await costOf(leat, server, each));
  await nothingHeld(server);
  if (server.pid() !== pid) throw new Error("the server process was started again");
  const slowed = costs.filter(({ throughput, p99 }) => throughput < leastThroughput || p99 > mostP99);
  const spent = slowed.filter(isSpent);
  const alone = costs.map(({ quiet }) => quiet);
  return [
    `${runs.length} guests: each record with its code, same process, RSS ${rssBefore} to ${holdingsOf(pid).rssMiB} MiB; alone the healthy stream ` +
      `does ${Math.round(median(alone.map(({ perSecond }) => perSecond)))} batches/s, p99 ${median(alone.map(({ p99Ms }) => p99Ms)).toFixed(1)} ms, ` +
      `with ${Math.round(median(alone.map(({ idle }) => idle)) * 100)} % of the machine idle; beside ${runs.length - slowed.length} of them it keeps ` +
      `${leastThroughput * 100} % and its p99 within ${mostP99} times; beside ${spent.length} the guest had spent a core; ${slowed.length - spent.length} are not explained by that`,
    ...slowed.map(
      (cost) =>
        `  ${cost.name}: ${Math.round(cost.throughput * 100)} % of the throughput, p99 ${cost.p99.toFixed(1)} times, longest gap ${Math.round(cost.longestGapMs)} ms; ` +
        `the guest took ${cost.guestCores.toFixed(2)} cores, ${Math.round(cost.idle * 100)} % of the machine was idle${isSpent(cost) ? ": a core is spent" : ""}`,
    ),
  ].join("\n");
}

function isSpent({ guestCores, idle }: Cost): boolean {
  return guestCores >= spentCores && idle <= spentIdle;
}

async function costOf(leat: Leat, server: Supervised, each: Runs): Promise<Cost> {
  const pairs: { quiet: Health; loaded: Health }[] = [];
  await withGuest(leat, each, async (call) => {
    for (let turn = 0; turn < turns; turn++) {
      const quiet = await watchHealthy(server, async () => pause(msPerTurn));
      const loaded = await watchHealthy(server, async () => {
        const endMs = performance.now() + msPerTurn;
        do {
          await call();
          await pause(msBetweenRecords);
        } while (performance.now() < endMs);
      });
      pairs.push({ quiet, loaded });
    }
  });
  const middle = (read: (pair: { quiet: Health; loaded: Health }) => number): number =>
    median(pairs.map(read));
  return {
    name: each.name,
    throughput: middle((pair) => pair.loaded.perSecond / pair.quiet.perSecond),
    p99: middle((pair) => pair.loaded.p99Ms / pair.quiet.p99Ms),
    longestGapMs: middle(({ loaded }) => loaded.longestGapMs),
    guestCores: middle(
      (pair) =>
        pair.loaded.serverCores - (pair.quiet.serverCores * pair.loaded.perSecond) / pair.quiet.perSecond,
    ),
    idle: middle(({ loaded }) => loaded.idle),
    quiet: {
      perSecond: middle(({ quiet }) => quiet.perSecond),
      p99Ms: middle(({ quiet }) => quiet.p99Ms),
      longestGapMs: middle(({ quiet }) => quiet.longestGapMs),
      serverCores: middle(({ quiet }) => quiet.serverCores),
      idle: middle(({ quiet }) => quiet.idle),
    },
  };
}

/** Loads a guest for a while. @param act - is given what sends it one record and checks its fate */
async function withGuest(
  leat: Leat,
  { name, record, codes }: Runs,
  act: (call: () => Promise<void>) => Promise<void>,
): Promise<void> {
  const module = name.replaceAll(/\W/g, "-");
  await leat.modules.loadModule({ name: module, version: "1", wasm: await misbehavingModule(name) });
  await leat.pipelines.putPipeline({
    pipeline: { name: module, stages: [{ module, breaker: { disabled: true } }] },
  });
  const value = typeof record === "string" ? Buffer.from(record) : record;
  await act(async () => {
    const { failures } = await leat.transform(module, [{ value }]);
    const code = failures[0]?.code ?? "answered";
    if (!(codes as readonly string[]).includes(code))
      throw new Error(`${name} gave ${code}, not ${codes.join(" or ")}`);
  });
  await leat.pipelines.deletePipeline({ name: module });
  await leat.modules.unloadModule({ reference: `${module}@1` });
}

/** How a healthy stream does while something else goes on. */
async function watchHealthy(server: Supervised, act: () => Promise<void>): Promise<Health> {
  const pid = server.pid() ?? 0;
  const stream = new HealthyStream(server.serve.address, "uppercase");
  const startMs = performance.now();
  const usedBefore = cpuSecondsOf(pid);
  const machineBefore = machineTicks();
  try {
    await act();
  } finally {
    await stream.stop();
  }
  const seconds = (performance.now() - startMs) / 1_000;
  const machine = machineTicks();
  const times = stream.answersAtMs;
  const gaps = times.slice(1).map((atMs, place) => atMs - (times[place] ?? atMs));
  const sorted = gaps.toSorted((a, b) => a - b);
  return {
    perSecond: times.length / seconds,
    p99Ms: sorted[Math.floor(sorted.length * 0.99)] ?? Number.NaN,
    longestGapMs: sorted.at(-1) ?? Number.NaN,
    serverCores: (cpuSecondsOf(pid) - usedBefore) / seconds,
    idle: (machine.idle - machineBefore.idle) / Math.max(1, machine.all - machineBefore.all),
  };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
