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
import { holdingsOf, type Supervised, startSupervised } from "./supervised.ts";

const limits = ["maxRecordExecutionMs=100", "maxBatchExecutionMs=500", "maxInitMs=300"];

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

/** How a healthy stream did. */
interface Health {
  readonly perSecond: number;
  readonly p99Ms: number;
  readonly longestGapMs: number;
}

const msPerGuest = 600;
/** The healthy stream alone, right before each guest: other work on the machine comes and goes. */
const msAlone = 400;
/** Between two records of a guest: with none at all it is one of two equal streams, and half is its fair share. */
const msBetweenRecords = 50;
const leastThroughput = 0.8;
const mostP99 = 3;

/**
 * Runs each guest of the library, a record now and then, beside a healthy stream. What slows that down is told and no failure:
 * on a machine of two cores the client, the server and the guest share them.
 */
export async function beside(): Promise<string> {
  await using server = await serve({ uppercase: "uppercase" });
  await using leat = new Leat(server.serve.address);
  const pid = server.pid() ?? 0;
  await watchHealthy(server, async () => pause(msPerGuest));
  const slowed: string[] = [];
  const alone: Health[] = [];
  const runs = misbehaviours.filter((each): each is Runs => "codes" in each);
  const rssBefore = holdingsOf(pid).rssMiB;
  for (const each of runs) {
    const quiet = await watchHealthy(server, async () => pause(msAlone));
    const health = await runBeside(leat, server, each);
    alone.push(quiet);
    const share = health.perSecond / quiet.perSecond;
    const slower = health.p99Ms / quiet.p99Ms;
    if (share >= leastThroughput && slower <= mostP99) continue;
    slowed.push(
      `  ${each.name}: ${Math.round(share * 100)} % of the throughput, p99 ${slower.toFixed(1)} times, longest gap ${Math.round(health.longestGapMs)} ms`,
    );
  }
  await nothingHeld(server);
  if (server.pid() !== pid) throw new Error("the server process was started again");
  return [
    `${runs.length} guests: each record with its code, same process, RSS ${rssBefore} to ${holdingsOf(pid).rssMiB} MiB; alone the healthy stream ` +
      `does ${Math.round(median(alone.map(({ perSecond }) => perSecond)))} batches/s, p99 ${median(alone.map(({ p99Ms }) => p99Ms)).toFixed(1)} ms; beside ${runs.length - slowed.length} of them it keeps ` +
      `${leastThroughput * 100} % and its p99 within ${mostP99} times; slower beside`,
    ...(slowed.length === 0 ? ["  none"] : slowed),
  ].join("\n");
}

async function runBeside(leat: Leat, server: Supervised, { name, record, codes }: Runs): Promise<Health> {
  const module = name.replaceAll(/\W/g, "-");
  await leat.modules.loadModule({ name: module, version: "1", wasm: await misbehavingModule(name) });
  await leat.pipelines.putPipeline({
    pipeline: { name: module, stages: [{ module, breaker: { disabled: true } }] },
  });
  const value = typeof record === "string" ? Buffer.from(record) : record;
  const health = await watchHealthy(server, async () => {
    const endMs = performance.now() + msPerGuest;
    do {
      const { failures } = await leat.transform(module, [{ value }]);
      const code = failures[0]?.code ?? "answered";
      if (!(codes as readonly string[]).includes(code))
        throw new Error(`${name} gave ${code}, not ${codes.join(" or ")}`);
      await pause(msBetweenRecords);
    } while (performance.now() < endMs);
  });
  await leat.pipelines.deletePipeline({ name: module });
  await leat.modules.unloadModule({ reference: `${module}@1` });
  return health;
}

/** How a healthy stream does while something else goes on. */
async function watchHealthy({ serve: { address } }: Supervised, act: () => Promise<void>): Promise<Health> {
  const stream = new HealthyStream(address, "uppercase");
  const startMs = performance.now();
  try {
    await act();
  } finally {
    await stream.stop();
  }
  const seconds = (performance.now() - startMs) / 1_000;
  const times = stream.answersAtMs;
  const gaps = times.slice(1).map((atMs, place) => atMs - (times[place] ?? atMs));
  const sorted = gaps.toSorted((a, b) => a - b);
  return {
    perSecond: times.length / seconds,
    p99Ms: sorted[Math.floor(sorted.length * 0.99)] ?? Number.NaN,
    longestGapMs: sorted.at(-1) ?? Number.NaN,
  };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
