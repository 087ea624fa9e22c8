/**
 * What a fuzz case is, and the loop that all of them run in.
 *
 * @module
 */

import { openSync, writeSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";

/** What a case is asked to do. */
export interface FuzzOrder {
  readonly seed: number;
  /** The first try. Each try is made from the seed and its number alone. */
  readonly from: number;
  /** Ends after so many tries. */
  readonly count: number;
  /** Ends after so many seconds. */
  readonly seconds: number;
}

/** One kind of attack. */
export interface FuzzCase extends AsyncDisposable {
  /** How many tries may be under way at once. */
  readonly lanes: number;
  /** Makes the try and judges what came of it; throws what is wrong. @returns what came of it, in a word to count */
  attempt(index: number): Promise<string>;
  /** Between rounds of tries: the victim still does healthy work. */
  checkHealth(): Promise<void>;
}

/** What came of a case. */
export interface FuzzFigures {
  readonly tries: number;
  readonly seconds: number;
  readonly outcomes: Readonly<Record<string, number>>;
  /** What the process could reach after the first rounds and at the end, with the garbage collected. */
  readonly reachableMiB: { readonly warm: number; readonly end: number };
}

/** A try that showed something wrong. */
export class FuzzFailure extends Error {
  override readonly name = "FuzzFailure";
  readonly index: number;

  constructor(index: number, cause: unknown) {
    super(`try ${index}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    this.index = index;
  }
}

/** Tries between two health checks. */
const triesPerRound = 500;
/** After so many rounds what is kept for good is there: compiled code, caches, figures. */
const warmUpRounds = 3;
/** What a process may gain afterwards: caches fill up to their bounds. A kilobyte kept of each try is more than that after 50,000. */
const allowedReachableMiB = 48;

/** What can be reached in JavaScript's heap, and outside of it from there: that is given back only some turns after it was collected. */
async function reachableMiB(): Promise<number> {
  for (let round = 0; round < 3; round++) {
    gc?.();
    await delay(50);
  }
  const { heapUsed, external } = process.memoryUsage();
  return Math.round((heapUsed + external) / 2 ** 20);
}

/**
 * Tells another process, by a file, which try is under way: that stays true when this process dies of it.
 *
 * @param path - undefined to tell nobody
 */
export function progressFile(path: string | undefined): (index: number) => void {
  if (path === undefined) return () => {};
  const file = openSync(path, "w");
  const bytes = new Float64Array(1);
  return (index) => {
    bytes[0] = index;
    writeSync(file, bytes, 0, 8, 0);
  };
}

/** Runs tries until the order is filled. @throws FuzzFailure for the first that shows something wrong */
export async function runCase(
  fuzzed: FuzzCase,
  order: FuzzOrder,
  tell: (index: number) => void,
): Promise<FuzzFigures> {
  const startMs = performance.now();
  const endMs = startMs + order.seconds * 1_000;
  const end = order.from + order.count;
  const outcomes: Record<string, number> = {};
  let next = order.from;
  let warm: number | undefined;
  let rounds = 0;
  const lane = async (roundEnd: number): Promise<void> => {
    while (next < roundEnd && performance.now() < endMs) {
      const index = next++;
      tell(index);
      const outcome = await fuzzed.attempt(index).catch((error) => {
        throw new FuzzFailure(index, error);
      });
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
    }
  };
  while (next < end && performance.now() < endMs) {
    const roundEnd = Math.min(end, next + triesPerRound);
    await Promise.all(Array.from({ length: fuzzed.lanes }, () => lane(roundEnd)));
    await fuzzed.checkHealth();
    if (++rounds === warmUpRounds) warm = await reachableMiB();
  }
  const seconds = (performance.now() - startMs) / 1_000;
  const reachable = { warm: warm ?? (await reachableMiB()), end: await reachableMiB() };
  if (reachable.end > reachable.warm + allowedReachableMiB)
    throw new Error(
      `memory grew from ${reachable.warm} to ${reachable.end} MiB in ${next - order.from} tries`,
    );
  return { tries: next - order.from, seconds, outcomes, reachableMiB: reachable };
}
