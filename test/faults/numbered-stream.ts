/**
 * A stream of numbered records through `program.wat`, of which every result is held against its record.
 *
 * @module
 */

import { type Leat, type StreamOptions, text } from "@leat/sdk";

/** One in so many records asks to fail. */
export const failEvery = 1_000;

/** What to stream. */
export interface NumberedOptions extends StreamOptions {
  readonly records: number;
  readonly batchRecords?: number;
  /** What a record that shall succeed starts with: one character that `program` or `marked` takes no offence at. */
  readonly padding?: string;
  /** Told after each batch how many records were delivered. */
  readonly onDelivered?: (delivered: number) => void | Promise<void>;
}

/** What came of it. */
export interface NumberedFigures {
  readonly seconds: number;
  /** The dead letters that the results named. */
  readonly deadLetterIds: readonly string[];
  /** The longest time without a result. */
  readonly longestGapMs: number;
}

/** The record with this number. */
function recordOf(number: number, padding: string): string {
  return `${number % failEvery === failEvery - 1 ? "x" : "m"}${number}${padding}`;
}

/**
 * Streams records and checks that each is answered once, in order, with what it must give.
 *
 * @throws Error that names the first record of which this is not so
 */
export async function streamNumbered(
  leat: Leat,
  pipeline: string,
  options: NumberedOptions,
): Promise<NumberedFigures> {
  const { records, onDelivered, padding = "", ...streamOptions } = options;
  const startMs = performance.now();
  function* source(): Generator<string> {
    for (let number = 0; number < records; number++) yield recordOf(number, padding);
  }
  const deadLetterIds: string[] = [];
  let delivered = 0;
  let lastMs = startMs;
  let longestGapMs = 0;
  for await (const result of leat.stream(pipeline, source(), {
    codec: text(),
    batchRecords: 100,
    reconnect: { maxAttempts: 200, initialMs: 20, maxMs: 500 },
    ...streamOptions,
  })) {
    if (result.error !== undefined) throw result.error;
    for (const [index, outcome] of result.outcomes.entries()) {
      const record = recordOf(delivered, padding);
      if (result.inputs[index] !== record)
        throw new Error(`record ${delivered} was due, but ${String(result.inputs[index])} was answered`);
      if (record.startsWith("x")) {
        if (outcome.status !== "failed" || outcome.failure.code !== "refused")
          throw new Error(`record ${delivered} was to be refused: ${JSON.stringify(outcome)}`);
        deadLetterIds.push(outcome.failure.deadLetterId);
      } else if (
        outcome.status !== "ok" ||
        outcome.outputs.length !== 1 ||
        outcome.outputs[0] !== record.slice(1)
      ) {
        throw new Error(`record ${delivered} gave ${JSON.stringify(outcome)}`);
      }
      delivered++;
    }
    const nowMs = performance.now();
    longestGapMs = Math.max(longestGapMs, nowMs - lastMs);
    lastMs = nowMs;
    await onDelivered?.(delivered);
  }
  if (delivered !== records) throw new Error(`${delivered} of ${records} records were delivered`);
  return { seconds: (performance.now() - startMs) / 1_000, deadLetterIds, longestGapMs };
}
