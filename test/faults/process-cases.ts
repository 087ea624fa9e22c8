/**
 * Faults of the server process and of connections, under a stream that must come out complete, in order and once.
 *
 * @module
 */

import { setTimeout as delay } from "node:timers/promises";
import { Leat } from "@leat/sdk";
import { type MeasuredGoal, requireGoal } from "../bench/goals.ts";
import { median } from "../bench/statistics.ts";
import type { Random } from "../fuzz/random.ts";
import { until } from "../kit/until.ts";
import { type Inspector, inspectable, openInspector } from "../soak/inspected.ts";
import { startCuttingProxy } from "./cutting-proxy.ts";
import { failEvery, type NumberedFigures, streamNumbered } from "./numbered-stream.ts";
import { type Supervised, startSupervised } from "./supervised.ts";

/** How much to do. */
export interface FaultOrder {
  readonly random: Random;
  /** Records of the stream under which the server is killed; other cases take a part of it. */
  readonly records: number;
  readonly kills: number;
  /** How many guests of the library run beside a healthy stream; 0 for all. */
  readonly guests: number;
}

/** Of the module `program`: one that keeps dead letters, and one that does not. */
export const pipelines = `
name: kept
stages:
  - module: program
    on_failure: dead_letter
---
name: plain
stages:
  - module: program
`;

/** A supervised server with these pipelines. */
export function serve(...flags: string[]): Promise<Supervised> {
  return startSupervised({ modules: { program: "program" }, pipelines, flags });
}

/** `leat serve` is killed with SIGKILL at random moments of a stream whose refused records become dead letters. */
export async function kills({ random, records, kills: count }: FaultOrder): Promise<string> {
  await using server = await serve("--limit", `maxRestarts=${count + 1}`);
  await using leat = new Leat(server.serve.address);
  const moments = Array.from({ length: count }, () => random.between(1, records - 1)).toSorted(
    (a, b) => a - b,
  );
  const backMs: number[] = [];
  let next = 0;
  let killing = Promise.resolve();
  const figures = await streamNumbered(leat, "kept", {
    records,
    onDelivered: async (delivered) => {
      if ((moments[next] ?? Number.POSITIVE_INFINITY) > delivered) return;
      // Moments may come close upon each other, and a server that is not back cannot be killed.
      await killing;
      next++;
      killing = killOnce(server, random.below(20), next + 1).then((ms) => void backMs.push(ms));
    },
  });
  await killing;
  happened(next, count, "kills");
  await checkDeadLetters(server, figures.deadLetterIds, Math.floor(records / failEvery));
  return (
    `${next} kills under ${records} records: each delivered once and in order, ${figures.deadLetterIds.length} dead letters ` +
    `and none twice, ${pace(records, figures)}; from kill to serving median ${Math.round(median(backMs))} ms, ` +
    `at most ${Math.round(Math.max(...backMs))} ms; longest gap in results ${Math.round(figures.longestGapMs)} ms`
  );
}

/** A case that passes without its fault has shown nothing. @throws Error when the fault came less often than it must */
export function happened(times: number, least: number, what: string): void {
  if (times < least) throw new Error(`the fault did not happen: ${times} ${what} of at least ${least}`);
}

/** Kills the server process a little later. @returns how long it took until the next one served, in milliseconds */
async function killOnce(server: Supervised, afterMs: number, starts: number): Promise<number> {
  await delay(afterMs);
  const pid = server.pid();
  if (pid === undefined) throw new Error("there is no server process to kill");
  const startMs = performance.now();
  process.kill(pid, "SIGKILL");
  await until(() => server.starts() >= starts, "the server is back");
  return performance.now() - startMs;
}

/** Exactly the letters are kept that results named. @throws Error that says which are not */
export async function checkDeadLetters(
  { serve: { address } }: Supervised,
  named: readonly string[],
  expected: number,
): Promise<void> {
  // The stream's own channel may still be waiting before it connects again.
  await using leat = new Leat(address);
  const kept: string[] = [];
  let pageToken = "";
  do {
    const page = await leat.deadLetters.listDeadLetters({ pageSize: 100, pageToken });
    kept.push(...page.deadLetters.map(({ id }) => id));
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  if (new Set(named).size !== expected)
    throw new Error(`results named ${new Set(named).size} of ${expected} dead letters`);
  if (kept.length !== expected)
    throw new Error(`${kept.length} dead letters are kept for ${expected} failures`);
  const missing = named.filter((id) => !kept.includes(id));
  if (missing.length > 0)
    throw new Error(`dead letters that results name are not kept: ${missing.join(", ")}`);
}

/** How fast it went. */
export function pace(records: number, { seconds }: NumberedFigures): string {
  return `${Math.round(records / seconds)} records/s`;
}

/** A proxy cuts connections in the middle of frames. */
export async function cuts({ random, records }: FaultOrder): Promise<string> {
  await using server = await serve();
  await using proxy = await startCuttingProxy(server.serve.address, random, 200_000);
  await using leat = new Leat(proxy.address);
  const part = Math.ceil(records / 4);
  const figures = await streamNumbered(leat, "plain", { records: part, padding: "-".repeat(100) });
  happened(proxy.cuts(), 1, "connections cut");
  await nothingHeld(server);
  return `${proxy.cuts()} connections cut under ${part} records: each delivered once and in order, ${pace(part, figures)}`;
}

/** The process stands still for a while, as it does on a machine that is out of breath. */
export async function stalls({ random, records }: FaultOrder): Promise<string> {
  await using server = await serve();
  await using leat = new Leat(server.serve.address);
  const part = Math.ceil(records / 4);
  const moments = Array.from({ length: 3 }, () => random.between(1, part - 1)).toSorted((a, b) => a - b);
  let stops = 0;
  const figures = await streamNumbered(leat, "plain", {
    records: part,
    onDelivered: async (delivered) => {
      if (moments[0] === undefined || moments[0] > delivered) return;
      moments.shift();
      const pid = server.pid() ?? 0;
      process.kill(pid, "SIGSTOP");
      stops++;
      await delay(random.between(200, 1_500));
      process.kill(pid, "SIGCONT");
    },
  });
  happened(stops, 3, "stops");
  await nothingHeld(server);
  return `the server stopped ${stops} times under ${part} records: each delivered once and in order, ${pace(part, figures)}`;
}

/** What the server may hold for a reader that does not keep up: its window of batches, and what HTTP/2 takes of them. */
const heldGoal: MeasuredGoal = {
  what: "what the server can reach more while a reader is slow",
  most: 16,
  unit: "MiB",
  quietMachine: false,
};

/** A caller takes results slowly while another one streams at full speed. */
export async function slowReader({ records }: FaultOrder): Promise<string> {
  await using server = await startSupervised({
    modules: { program: "program" },
    pipelines,
    env: inspectable,
  });
  using inspector = await openInspector(server.pid() ?? 0, () => server.serve.stderr());
  await using leat = new Leat(server.serve.address);
  await using slow = new Leat(server.serve.address);
  const part = Math.ceil(records / 4);
  const padding = "-".repeat(1_000);
  const quiet = await streamNumbered(leat, "plain", { records: part });
  const before = await reachableMiB(leat, inspector);
  const stop = new AbortController();
  let slowly = 0;
  const crawl = streamNumbered(slow, "plain", {
    records: 1e9,
    padding,
    signal: stop.signal,
    onDelivered: async (delivered) => {
      slowly = delivered;
      await delay(50);
    },
  }).catch((error: unknown) => {
    if (!stop.signal.aborted) throw error;
  });
  const beside = await streamNumbered(leat, "plain", { records: part });
  // However short that was: by now the slow one's window is full.
  await until(() => slowly >= 1_000, "the slow reader has begun");
  const grownMiB = (await reachableMiB(leat, inspector)) - before;
  stop.abort();
  await crawl;
  await nothingHeld(server);
  requireGoal(heldGoal, grownMiB);
  return (
    `a reader took ${slowly} records of 1 KB while another took ${part}: ${pace(part, beside)} beside it, ` +
    `${pace(part, quiet)} alone; the server could reach ${grownMiB.toFixed(1)} MiB more than before`
  );
}

/** JavaScript's objects on the server's main thread, and what they hold outside of the heap, with the garbage collected. */
async function reachableMiB(leat: Leat, inspector: Inspector): Promise<number> {
  await inspector.collectGarbage();
  const { snapshot } = await leat.metrics.metrics({});
  const { heapUsedBytes = 0n, externalBytes = 0n } = snapshot?.process ?? {};
  return Number(heapUsedBytes + externalBytes) / 2 ** 20;
}

/** Everything that was admitted is given back. */
export async function nothingHeld({ serve: { address } }: Pick<Supervised, "serve">): Promise<void> {
  await using leat = new Leat(address);
  await until(async () => {
    const { snapshot } = await leat.metrics.metrics({});
    const { batches = 0, bytes = 0n, streams = 0 } = snapshot?.admission ?? {};
    return batches === 0 && bytes === 0n && streams === 0;
  }, "the server holds nothing any more");
}
