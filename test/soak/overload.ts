/**
 * Offers a server more than it can do: `npm run overload`.
 *
 * The work of a call is a guest's loop of about ten milliseconds, so that the worker, and not this client on the same machine,
 * is what runs out: to refuse a call costs server and client a tenth of a millisecond each.
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
  loads.push(await offer(factor));
  await delay(1_500);
}
const peak = Math.max(...loads.map(({ goodput }) => goodput));
for (const load of loads) print(load);

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

/** Calls per second that enough callers to keep all workers busy get through, each with one call open. */
async function measureCapacity(): Promise<number> {
  const client = new RawClient(address);
  const endMs = performance.now() + 3_000;
  let answered = 0;
  const caller = async (): Promise<void> => {
    while (performance.now() < endMs) {
      await client.call(path, bytes).response;
      answered++;
    }
  };
  await Promise.all(Array.from({ length: 512 }, caller));
  client.close();
  return answered / 3;
}

/** Starts calls at a steady pace, however many are answered. */
async function offer(factor: number): Promise<Load> {
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
  for (let nowMs = 0; nowMs < numbers.seconds * 1_000; nowMs = performance.now() - startMs) {
    const due = (capacity * factor * nowMs) / 1_000;
    for (; counts.offered < due; counts.offered++) {
      const client = clients[counts.offered % clients.length];
      if (counts.open >= numbers.callers || client === undefined) counts.givenUp++;
      else calls.push(call(client));
    }
    rssMiB = Math.max(rssMiB, holdingsOf(pid).rssMiB);
    await delay(2);
  }
  await Promise.all(calls);
  const seconds = (performance.now() - startMs) / 1_000;
  for (const client of clients) client.close();
  return {
    factor,
    offered: counts.offered / numbers.seconds,
    goodput: latenciesMs.length / seconds,
    latenciesMs: latenciesMs.toSorted((a, b) => a - b),
    refused: counts.refused / seconds,
    late: counts.late / seconds,
    lost: counts.lost / seconds,
    givenUp: counts.givenUp / seconds,
    rssMiB,
  };
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
