/**
 * Offers a server more than it can do: `npm run overload`.
 *
 * The work of a call is a guest's loop of about ten milliseconds, so that the worker, and not this client on the same machine,
 * is what runs out: to refuse a call costs server and client a tenth of a millisecond each.
 *
 * What it can do is the most that it answered of a load that grows step by step. Callers that wait for each other's answers would
 * get more through, since they leave their processor to the guests; a load that is offered whatever becomes of it does not.
 *
 * @module
 */

import { setTimeout as delay } from "node:timers/promises";
import { TransformRequestSchema } from "@leat/proto";
import { Leat } from "@leat/sdk";
import { holdingsOf, startSupervised } from "../faults/supervised.ts";
import { readFlags } from "../fuzz/flags.ts";
import { encode, RawClient } from "../kit/raw-client.ts";
import { countdown, request } from "../kit/records.ts";

const usage = `npm run overload [-- OPTIONS]

  --seconds N    how long each load is offered (default 5)
  --deadline N   each call's deadline in milliseconds (default 1000)
  --work N       milliseconds of a guest's loop in each call (default 10)
  --callers N    calls open at once at most; what would be more is not sent and counts as given up (default 3000)`;

const { numbers } = readFlags(usage, { seconds: 5, deadline: 1_000, work: 10, callers: 3_000 });
const path = "/leat.v1.TransformService/Transform";
const factors = [0.5, 1, 2, 5];
/** Beyond its capacity, the server must go on answering so much of the most that it ever did. */
const leastOfPeak = 0.8;
/** Calls that were admitted are answered within their deadline, but for what the way back takes. */
const mostLateness = 1.1;
/** What the heaviest load may take of memory beyond what one at capacity does: what is admitted is bounded, whatever is offered. */
const mostGrowth = 1.5;

await using server = await startSupervised({
  modules: { marked: "marked" },
  pipelines: "name: marked\nstages:\n  - module: marked\n",
});
const pid = server.pid() ?? 0;
const { address } = server.serve;
const rounds = await roundsOf(numbers.work);
const bytes = encode(TransformRequestSchema, request("marked", countdown(rounds)));
const capacity = await measureCapacity();
console.log(
  `capacity ${Math.round(capacity)} calls/s, each of ${rounds} rounds of a guest's loop, ${numbers.seconds} s a load, deadline ${numbers.deadline} ms\n`,
);
console.log(
  " load  offered/s   goodput/s  of peak   p50 ms   p99 ms  refused/s  too late/s  lost/s  given up/s  RSS MiB",
);
const loads: Load[] = [];
for (const factor of factors) {
  loads.push(await offer(factor, capacity * factor, numbers.seconds));
  await delay(1_500);
}
const peak = Math.max(...loads.map(({ goodput }) => goodput));
for (const load of loads) print(load);
const missed = loads.flatMap(goalsMissed);
for (const line of missed) console.log(`MISSED: ${line}`);
process.exitCode = missed.length > 0 ? 1 : 0;

/** What came of an offered load. */
interface Load {
  readonly factor: number;
  readonly offered: number;
  readonly goodput: number;
  /** Of calls that succeeded, in ascending order. */
  readonly latenciesMs: readonly number[];
  readonly refused: number;
  readonly late: number;
  /** Failed with UNAVAILABLE or INTERNAL: their connection was closed. */
  readonly lost: number;
  readonly givenUp: number;
  readonly rssMiB: number;
}

/** How many rounds of the guest's loop take so many milliseconds. */
async function roundsOf(ms: number): Promise<number> {
  await using leat = new Leat(address);
  let rounds = 1_000_000;
  // A loop gets quicker as it is optimised, so a guess from its first calls would be far too low.
  for (let guess = 0; guess < 20; guess++) {
    const startMs = performance.now();
    for (let call = 0; call < 10; call++) await leat.transform("marked", [{ value: countdown(rounds) }]);
    const tookMs = (performance.now() - startMs) / 10;
    if (tookMs > 0.9 * ms && tookMs < 1.1 * ms) break;
    rounds = Math.round(rounds * Math.min(4, ms / tookMs));
  }
  return rounds;
}

/** The most calls per second that were answered of a load that grows until more of it brings no more. */
async function measureCapacity(): Promise<number> {
  let most = 0;
  // The first is what one worker does, roughly: it has rounds for so many milliseconds.
  for (let perSecond = 250 / numbers.work; perSecond < 100_000; perSecond *= 1.25) {
    const { goodput } = await offer(0, perSecond, 2);
    await delay(500);
    if (goodput < most * 1.02 && goodput < perSecond * 0.9) break;
    most = Math.max(most, goodput);
  }
  return most;
}

/** Starts calls at a steady pace, however many are answered. */
async function offer(factor: number, perSecond: number, seconds: number): Promise<Load> {
  const clients = Array.from({ length: 4 }, () => new RawClient(address));
  const counts = { open: 0, offered: 0, refused: 0, late: 0, lost: 0, givenUp: 0 };
  const latenciesMs: number[] = [];
  const call = async (client: RawClient): Promise<void> => {
    const startMs = performance.now();
    counts.open++;
    try {
      await client.call(path, bytes, { timeoutMs: numbers.deadline }).response;
      latenciesMs.push(performance.now() - startMs);
    } catch (error) {
      const { code } = error as { code?: number };
      if (code === 8) counts.refused++;
      else if (code === 4) counts.late++;
      else if (code === 13 || code === 14) counts.lost++;
      else throw error;
    } finally {
      counts.open--;
    }
  };
  const calls: Promise<void>[] = [];
  const startMs = performance.now();
  let rssMiB = 0;
  for (let nowMs = 0; nowMs < seconds * 1_000; nowMs = performance.now() - startMs) {
    const due = (perSecond * nowMs) / 1_000;
    for (; counts.offered < due; counts.offered++) {
      const client = clients[counts.offered % clients.length];
      if (counts.open >= numbers.callers || client === undefined) counts.givenUp++;
      else calls.push(call(client));
    }
    rssMiB = Math.max(rssMiB, holdingsOf(pid).rssMiB);
    await delay(2);
  }
  await Promise.all(calls);
  const tookSeconds = (performance.now() - startMs) / 1_000;
  for (const client of clients) client.close();
  return {
    factor,
    offered: counts.offered / seconds,
    goodput: latenciesMs.length / tookSeconds,
    latenciesMs: latenciesMs.toSorted((a, b) => a - b),
    refused: counts.refused / tookSeconds,
    late: counts.late / tookSeconds,
    lost: counts.lost / tookSeconds,
    givenUp: counts.givenUp / tookSeconds,
    rssMiB,
  };
}

/** What of the promises a load did not keep. */
function goalsMissed({ factor, goodput, latenciesMs, lost, rssMiB }: Load): string[] {
  const missed: string[] = [];
  const share = goodput / peak;
  const p99Ms = latenciesMs[Math.floor(latenciesMs.length * 0.99)] ?? Number.POSITIVE_INFINITY;
  const usual = loads.find((load) => load.factor === 1)?.rssMiB ?? rssMiB;
  if (factor >= 1 && share < leastOfPeak)
    missed.push(
      `${factor}x: goodput ${Math.round(share * 100)} % of the peak, at least ${leastOfPeak * 100} %`,
    );
  if (p99Ms > numbers.deadline * mostLateness)
    missed.push(`${factor}x: p99 ${p99Ms.toFixed(0)} ms, at most the deadline and a tenth`);
  if (lost > 0) missed.push(`${factor}x: ${lost.toFixed(1)} calls/s lost their connection`);
  if (rssMiB > usual * mostGrowth)
    missed.push(`${factor}x: ${rssMiB} MiB, at most ${mostGrowth} times the ${usual} MiB at capacity`);
  return missed;
}

function print({ factor, offered, goodput, latenciesMs, refused, late, lost, givenUp, rssMiB }: Load): void {
  const at = (part: number): number => latenciesMs[Math.floor(latenciesMs.length * part)] ?? Number.NaN;
  const cells: [number | string, number][] = [
    [`${factor}x`, 5],
    [Math.round(offered), 11],
    [Math.round(goodput), 12],
    [`${Math.round((goodput / peak) * 100)}%`, 9],
    [at(0.5).toFixed(1), 9],
    [at(0.99).toFixed(1), 9],
    [Math.round(refused), 11],
    [Math.round(late), 12],
    [Math.round(lost), 8],
    [Math.round(givenUp), 12],
    [rssMiB, 9],
  ];
  console.log(cells.map(([value, width]) => String(value).padStart(width)).join(""));
}
