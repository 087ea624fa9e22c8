/**
 * How fast the pipeline is: the films over and over on one stream.
 *
 * @module
 */

import { type EncodedBatch, encodeBatch, json, type Leat } from "@leat/sdk";
import type { Movie } from "./movies.ts";
import { pipelineName } from "./pipeline.ts";

/** How often all films are sent. */
const rounds = 40;

/** Films of one batch. */
const batchRecords = 200;

/** Sends the films many times, encoded ahead, so that what is measured is Leat and not this process's JSON. */
export async function measureRate(leat: Leat, movies: readonly Movie[]): Promise<string> {
  const batches: EncodedBatch[] = [];
  for (let at = 0; at < movies.length; at += batchRecords) {
    batches.push(encodeBatch(movies.slice(at, at + batchRecords), { codec: json<Movie>() }));
  }
  function* source(): Generator<EncodedBatch> {
    for (let round = 0; round < rounds; round++) yield* batches;
  }
  const bytes = batches.reduce((sum, batch) => sum + batch.bytes.length, 0) * rounds;
  const startMs = performance.now();
  let records = 0;
  let answeredBytes = 0;
  for await (const result of leat.stream(pipelineName, source())) {
    if (result.error) throw result.error;
    records += result.inputCount;
    answeredBytes += result.bytes.length;
  }
  const seconds = (performance.now() - startMs) / 1_000;
  const { snapshot } = await leat.metrics.metrics({ pipeline: pipelineName });
  const stages = snapshot?.pipelines[0]?.stages ?? [];
  const count = (value: number): string => Math.round(value).toLocaleString("en-US");
  return [
    `${count(records)} records (${count(bytes / 1e6)} MB in, ${count(answeredBytes / 1e6)} MB out) in ${seconds.toFixed(1)} s:`,
    `${count(records / seconds)} records/s through three stages, ${(bytes / 1e6 / seconds).toFixed(0)} MB/s, on one stream.`,
    ...stages.map(({ stage, execute, recordsIn }) => {
      const us = Number(execute?.totalNs ?? 0) / 1_000 / Math.max(1, Number(recordsIn));
      return `  ${stage.padEnd(12)} ${us.toFixed(2)} µs a record`;
    }),
  ].join("\n");
}
