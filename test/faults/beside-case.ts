/**
 * Each guest of the library beside a healthy stream, in short turns with and without it: what the stream keeps, and who used the machine.
 *
 * @module
 */

import { cpus } from "node:os";
import { Leat } from "@leat/sdk";
import { median } from "../bench/statistics.ts";
import { HealthyStream } from "../bench/timed-stream.ts";
import { type Misbehaviour, misbehavingModule, misbehaviours } from "../modules/misbehaving.ts";
import { type FaultOrder, nothingHeld } from "./process-cases.ts";
import { serve } from "./serve-guests.ts";
import { cpuSecondsOf, holdingsOf, machineTicks, type Supervised } from "./supervised.ts";

type Runs = Extract<Misbehaviour, { codes: readonly string[] }>;

/** Turns without and with the guest: other work on the machine comes and goes, and then meets both. */
const turns = 6;
/** So many times as many are taken before something counts as unexplained: a few turns may meet other work by chance. */
const mostRounds = 3;
const msPerTurn = 250;
/** Between a turn with the guest and the next without: what it left behind has ended. */
const settleMs = 30;
const warmUpMs = 1_500;
/** Between two records of a guest: with none at all it is one of two equal streams, and half is its fair share. */
const msBetweenRecords = 50;
const leastThroughput = 0.8;
const mostP99 = 3;
/**
 * A guest that takes so much of a core has spent what the stream would have needed, if the machine has so little to spare while it is there,
 * or no more than the stream leaves by itself: its few batches wait for one another's answers, whoever else is there.
 */
const spentCores = 0.5;
const spentIdle = 0.1;

const healthy = "uppercase";

/** What was used until a moment. */
interface Meters {
  readonly atMs: number;
  readonly answers: number;
  readonly serverSeconds: number;
  readonly clientSeconds: number;
  readonly ticks: ReturnType<typeof machineTicks>;
  /** Processor time of the guest's stage and of the stream's, as the server accounts for it. */
  readonly guestSeconds: number;
  readonly healthySeconds: number;
}

/** What turns of one kind have taken together. */
class Turns {
  answers = 0;
  seconds = 0;
  serverSeconds = 0;
  clientSeconds = 0;
  guestSeconds = 0;
  healthySeconds = 0;
  allTicks = 0;
  idleTicks = 0;
  readonly gapsMs: number[] = [];

  add(from: Meters, to: Meters, answersAtMs: readonly number[]): void {
    this.seconds += (to.atMs - from.atMs) / 1_000;
    this.answers += to.answers - from.answers;
    this.serverSeconds += to.serverSeconds - from.serverSeconds;
    this.clientSeconds += to.clientSeconds - from.clientSeconds;
    this.guestSeconds += to.guestSeconds - from.guestSeconds;
    this.healthySeconds += to.healthySeconds - from.healthySeconds;
    this.allTicks += to.ticks.all - from.ticks.all;
    this.idleTicks += to.ticks.idle - from.ticks.idle;
    let lastMs = answersAtMs[from.answers - 1] ?? from.atMs;
    for (const atMs of answersAtMs.slice(from.answers, to.answers)) {
      this.gapsMs.push(atMs - lastMs);
      lastMs = atMs;
    }
    // A turn without an answer to its end is a gap, too.
    this.gapsMs.push(to.atMs - lastMs);
  }

  get perSecond(): number {
    return this.answers / this.seconds;
  }

  get p99Ms(): number {
    return this.gapsMs.toSorted((a, b) => a - b)[Math.floor(this.gapsMs.length * 0.99)] ?? Number.NaN;
  }

  get longestGapMs(): number {
    return this.gapsMs.reduce((longest, ms) => Math.max(longest, ms), 0);
  }

  /** The share of all processors that nobody used. */
  get idle(): number {
    return this.idleTicks / Math.max(1, this.allTicks);
  }

  /** So many seconds of a processor, as a share of the machine. */
  shareOf(seconds: number): number {
    return seconds / this.seconds / cpus().length;
  }
}

/** What a guest costs the stream beside it. */
interface Cost {
  readonly name: string;
  readonly quiet: Turns;
  readonly loaded: Turns;
  /** Records that the guest was given, by the code that each got. */
  readonly codes: ReadonlyMap<string, number>;
}

const throughputOf = ({ quiet, loaded }: Cost): number => loaded.perSecond / quiet.perSecond;
const p99Of = ({ quiet, loaded }: Cost): number => loaded.p99Ms / quiet.p99Ms;

/** What the server took beyond what the stream's batches take alone: the guest, and what its faults cause. */
function causedSeconds({ quiet, loaded }: Cost): number {
  return Math.max(0, loaded.serverSeconds - (quiet.serverSeconds / quiet.answers) * loaded.answers);
}

function isKept(cost: Cost): boolean {
  return throughputOf(cost) >= leastThroughput && p99Of(cost) <= mostP99;
}

function isSpent(cost: Cost): boolean {
  const { quiet, loaded } = cost;
  return causedSeconds(cost) / loaded.seconds >= spentCores && loaded.idle <= Math.max(spentIdle, quiet.idle);
}

function verdictOf(cost: Cost): string {
  return isKept(cost) ? "kept" : isSpent(cost) ? "a core is spent" : "NOT EXPLAINED";
}

/**
 * Runs each guest of the library, a record now and then, beside a healthy stream. On a machine of two cores the client, the server and
 * the guest share them: where that explains what the stream loses, the measurement says so. What is not explained is a failure.
 */
export async function beside({ guests }: FaultOrder): Promise<string> {
  await using server = await serve({ [healthy]: healthy });
  await using leat = new Leat(server.serve.address);
  const pid = server.pid() ?? 0;
  const all = misbehaviours.filter((each): each is Runs => "codes" in each);
  // Some of all kinds, not the first of one.
  const every = guests === 0 ? 1 : Math.max(1, Math.floor(all.length / guests));
  const runs = all.filter((_, index) => index % every === 0).slice(0, guests === 0 ? all.length : guests);
  const warm = new HealthyStream(server.serve.address, healthy);
  await pause(warmUpMs);
  await warm.stop();
  const rssBefore = holdingsOf(pid).rssMiB;
  const costs: Cost[] = [];
  console.log(heading);
  for (const each of runs) {
    const cost = await costOf(leat, server, each);
    costs.push(cost);
    console.log(rowOf(cost));
  }
  await nothingHeld(server);
  if (server.pid() !== pid) throw new Error("the server process was started again");
  const slowed = costs.filter((cost) => !isKept(cost));
  const spent = slowed.filter(isSpent).length;
  const unexplained = slowed.filter((cost) => !isSpent(cost)).map(({ name }) => name);
  if (unexplained.length > 0)
    throw new Error(
      `the healthy stream keeps less than ${percent(leastThroughput)}, or more than ${mostP99} times its p99, and no core is spent: beside ${unexplained.join(", ")}`,
    );
  return (
    `${runs.length} guests: each record with its code, same process, RSS ${rssBefore} to ${holdingsOf(pid).rssMiB} MiB; alone the healthy stream ` +
    `does ${Math.round(median(costs.map(({ quiet }) => quiet.perSecond)))} batches/s, p99 ${median(costs.map(({ quiet }) => quiet.p99Ms)).toFixed(1)} ms, ` +
    `with ${percent(median(costs.map(({ quiet }) => quiet.idle)))} of the machine idle; beside ${runs.length - slowed.length} of them it keeps ` +
    `${percent(leastThroughput)} and its p99 within ${mostP99} times; beside ${spent} the guest had spent a core`
  );
}

const columns: readonly (readonly [title: string, width: number])[] = [
  ["guest", -40],
  ["throughput", 10],
  ["p99", 6],
  ["longest gap", 11],
  ["guest", 6],
  ["with faults", 11],
  ["stream", 6],
  ["clients", 7],
  ["idle", 5],
  ["without", 7],
  ["", -15],
  ["records", -1],
];

function lineOf(cells: readonly string[]): string {
  const padded = cells.map((cell, index) => {
    const width = columns[index]?.[1] ?? 0;
    return width < 0 ? cell.padEnd(-width) : cell.padStart(width);
  });
  return `  ${padded.join("  ").trimEnd()}`;
}

const heading = [
  "of the stream, with and without the guest: throughput, p99 and the longest time without an answer; of the machine, while the guest is there:",
  "the guest's stage, all that the server does for it, the stream in the server, this program with both clients, nobody, and nobody without the guest",
  lineOf(columns.map(([title]) => title)),
].join("\n");

function rowOf(cost: Cost): string {
  const { quiet, loaded, codes } = cost;
  const caused = causedSeconds(cost);
  return lineOf([
    cost.name,
    percent(throughputOf(cost)),
    `${p99Of(cost).toFixed(1)}×`,
    `${Math.round(loaded.longestGapMs)} ms`,
    percent(loaded.shareOf(loaded.guestSeconds)),
    percent(loaded.shareOf(caused)),
    percent(loaded.shareOf(loaded.serverSeconds - caused)),
    percent(loaded.shareOf(loaded.clientSeconds)),
    percent(loaded.idle),
    percent(quiet.idle),
    verdictOf(cost),
    [...codes].map(([code, count]) => `${count} ${code}`).join(", "),
  ]);
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

async function costOf(leat: Leat, server: Supervised, each: Runs): Promise<Cost> {
  const cost: Cost & { codes: Map<string, number> } = {
    name: each.name,
    quiet: new Turns(),
    loaded: new Turns(),
    codes: new Map(),
  };
  await withGuest(leat, each, async (pipeline, call) => {
    const stream = new HealthyStream(server.serve.address, healthy);
    const read = () => readMeters(leat, server, stream, pipeline);
    try {
      // It gets into its stride first.
      await pause(settleMs * 3);
      for (
        let turn = 0;
        turn < turns || (turn < turns * mostRounds && verdictOf(cost) === "NOT EXPLAINED");
        turn++
      ) {
        const start = await read();
        await pause(msPerTurn);
        const middle = await read();
        cost.quiet.add(start, middle, stream.answersAtMs);
        const endMs = performance.now() + msPerTurn;
        do {
          const code = await call();
          cost.codes.set(code, (cost.codes.get(code) ?? 0) + 1);
          await pause(msBetweenRecords);
        } while (performance.now() < endMs);
        cost.loaded.add(middle, await read(), stream.answersAtMs);
        await pause(settleMs);
      }
    } finally {
      await stream.stop();
    }
  });
  return cost;
}

async function readMeters(
  leat: Leat,
  server: Supervised,
  stream: HealthyStream,
  pipeline: string,
): Promise<Meters> {
  const { snapshot } = await leat.metrics.metrics({});
  const secondsOf = (name: string): number => {
    const stages = snapshot?.pipelines.find((each) => each.pipeline === name)?.stages ?? [];
    return stages.reduce((sum, { cpuNs }) => sum + Number(cpuNs), 0) / 1e9;
  };
  const { user, system } = process.cpuUsage();
  return {
    atMs: performance.now(),
    answers: stream.answersAtMs.length,
    serverSeconds: cpuSecondsOf(server.pid() ?? 0),
    clientSeconds: (user + system) / 1e6,
    ticks: machineTicks(),
    guestSeconds: secondsOf(pipeline),
    healthySeconds: secondsOf(healthy),
  };
}

/** Loads a guest for a while. @param act - is given its pipeline, and what sends it one record, checks its fate and tells the code */
async function withGuest(
  leat: Leat,
  { name, record, codes }: Runs,
  act: (pipeline: string, call: () => Promise<string>) => Promise<void>,
): Promise<void> {
  const module = name.replaceAll(/\W/g, "-");
  await leat.modules.loadModule({ name: module, version: "1", wasm: await misbehavingModule(name) });
  await leat.pipelines.putPipeline({
    pipeline: { name: module, stages: [{ module, breaker: { disabled: true } }] },
  });
  const value = typeof record === "string" ? Buffer.from(record) : record;
  await act(module, async () => {
    const { failures } = await leat.transform(module, [{ value }]);
    const code = failures[0]?.code ?? "answered";
    if (!(codes as readonly string[]).includes(code))
      throw new Error(`${name} gave ${code}, not ${codes.join(" or ")}`);
    return code;
  });
  await leat.pipelines.deletePipeline({ name: module });
  await leat.modules.unloadModule({ reference: `${module}@1` });
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
