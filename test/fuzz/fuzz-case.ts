/**
 * What a fuzz case is, and the loop that all of them run in.
 *
 * @module
 */

import { openSync, writeSync } from "node:fs";

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
  }
  return { tries: next - order.from, seconds: (performance.now() - startMs) / 1_000, outcomes };
}
