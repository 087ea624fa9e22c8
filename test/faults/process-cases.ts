/**
 * Faults of the server process and of connections, under a stream that must come out complete, in order and once.
 *
 * @module
 */

import { setTimeout as delay } from "node:timers/promises";
import { Leat } from "@leat/sdk";
import type { Random } from "../fuzz/random.ts";
import { until } from "../kit/until.ts";
import { startCuttingProxy } from "./cutting-proxy.ts";
import { failEvery, type NumberedFigures, streamNumbered } from "./numbered-stream.ts";
import { holdingsOf, type Supervised, startSupervised } from "./supervised.ts";

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
  const waiting: Promise<void>[] = [];
  let next = 0;
  const figures = await streamNumbered(leat, "kept", {
    records,
    onDelivered: (delivered) => {
      const moment = moments[next];
      if (moment === undefined || moment > delivered || server.starts() < next + 1) return;
      next++;
      waiting.push(killOnce(server, random.below(20), next + 1).then((ms) => void backMs.push(ms)));
    },
  });
  await Promise.all(waiting);
  await checkDeadLetters(server, figures.deadLetterIds, Math.floor(records / failEvery));
  const sorted = backMs.toSorted((a, b) => a - b);
  return (
    `${next} kills under ${records} records: each delivered once and in order, ${figures.deadLetterIds.length} dead letters ` +
    `and none twice, ${pace(records, figures)}; from kill to serving median ${Math.round(sorted[sorted.length >> 1] ?? 0)} ms, ` +
    `at most ${Math.round(sorted.at(-1) ?? 0)} ms; longest gap in results ${Math.round(figures.longestGapMs)} ms`
  );
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
  await nothingHeld(server);
  return `${proxy.cuts()} connections cut under ${part} records: each delivered once and in order, ${pace(part, figures)}`;
}

/** The process stands still for a while, as it does on a machine that is out of breath. */
export async function stalls({ random, records }: FaultOrder): Promise<string> {
  await using server = await serve();
  await using leat = new Leat(server.serve.address);
  const part = Math.ceil(records / 4);
  const moments = Array.from({ length: 3 }, () => random.between(1, part - 1)).toSorted((a, b) => a - b);
  const figures = await streamNumbered(leat, "plain", {
    records: part,
    onDelivered: async (delivered) => {
      if (moments[0] === undefined || moments[0] > delivered) return;
      moments.shift();
      const pid = server.pid() ?? 0;
      process.kill(pid, "SIGSTOP");
      await delay(random.between(200, 1_500));
      process.kill(pid, "SIGCONT");
    },
  });
  await nothingHeld(server);
  return `the server stopped 3 times under ${part} records: each delivered once and in order, ${pace(part, figures)}`;
}

/** A caller takes results slowly while another one streams at full speed. */
export async function slowReader({ records }: FaultOrder): Promise<string> {
  await using server = await serve();
  await using leat = new Leat(server.serve.address);
  await using slow = new Leat(server.serve.address);
  const part = Math.ceil(records / 4);
  const padding = "-".repeat(1_000);
  const quiet = await streamNumbered(leat, "plain", { records: part });
  const before = holdingsOf(server.pid() ?? 0).rssMiB;
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
  const grownMiB = holdingsOf(server.pid() ?? 0).rssMiB - before;
  stop.abort();
  await crawl;
  await nothingHeld(server);
  return (
    `a reader took ${slowly} records of 1 KB while another took ${part}: ${pace(part, beside)} beside it, ` +
    `${pace(part, quiet)} alone; the server grew by ${grownMiB} MiB`
  );
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
