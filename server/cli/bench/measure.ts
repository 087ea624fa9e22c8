/**
 * The load, and what it measures.
 *
 * @module
 */

import { createHistogram, type RecordableHistogram } from "node:perf_hooks";
import type { BatchResult, EncodedBatch, Leat, OutputRecord, RecordInput, TargetInput } from "@leat/sdk";
import type { BenchOptions } from "../bench.ts";
import { describeError } from "../failure.ts";
import { makeBatches } from "./payload.ts";

/** What a load has measured. Times are in milliseconds. */
export interface BenchReport {
  readonly target: string;
  readonly mode: "stream" | "unary";
  /** Streams or callers. */
  readonly clients: number;
  /** Batches under way on a stream; undefined for what the server allows, and for unary calls. */
  readonly window: number | undefined;
  readonly batchRecords: number;
  /** The mean size of a batch on the wire. */
  readonly batchBytes: number;
  /** How long was measured. */
  readonly durationMs: number;
  readonly batches: number;
  readonly records: number;
  readonly recordsOut: number;
  readonly recordsFailed: number;
  readonly batchesPerSecond: number;
  readonly recordsPerSecond: number;
  /** Bytes of batches sent, in 10^6 a second. */
  readonly megabytesPerSecond: number;
  readonly latencyMs: {
    readonly mean: number;
    readonly p50: number;
    readonly p90: number;
    readonly p99: number;
    readonly p999: number;
    readonly max: number;
  };
  /** Batches that failed as a whole. */
  readonly callErrors: number;
  readonly firstCallError: string | undefined;
}

/** Counts what ends while it is measured. */
class Meter {
  readonly histogram: RecordableHistogram = createHistogram({ figures: 3 });
  batches = 0;
  bytes = 0;
  recordsIn = 0;
  recordsOut = 0;
  recordsFailed = 0;
  callErrors = 0;
  firstCallError: unknown;
  readonly #startMs: number;
  readonly #endMs: number;

  constructor(startMs: number, endMs: number) {
    this.#startMs = startMs;
    this.#endMs = endMs;
  }

  /** One batch was answered. */
  add(sentMs: number, batch: EncodedBatch, result: BatchResult<RecordInput, OutputRecord>): void {
    const nowMs = performance.now();
    if (result.error !== undefined) this.error(result.error);
    if (nowMs < this.#startMs || nowMs >= this.#endMs || result.error !== undefined) return;
    this.histogram.record(Math.max(1, Math.round((nowMs - sentMs) * 1e6)));
    this.batches++;
    this.bytes += batch.bytes.length;
    this.recordsIn += batch.count;
    this.recordsOut += result.records.length;
    this.recordsFailed += result.failures.length;
  }

  /** One batch failed as a whole. */
  error(error: unknown): void {
    this.callErrors++;
    this.firstCallError ??= error;
  }
}

/** Loads a server for a while. */
export async function measure(leat: Leat, target: TargetInput, options: BenchOptions): Promise<BenchReport> {
  const batches = await makeBatches(options);
  const { callers, streams = 1, warmUp, duration, window } = options;
  const startMs = performance.now() + warmUp;
  const endMs = startMs + duration;
  const meter = new Meter(startMs, endMs);
  const clients = callers ?? streams;
  await Promise.all(
    Array.from({ length: clients }, (_, client) => {
      const load = { leat, target, batches, endMs, meter, first: client };
      return callers === undefined ? loadStream(load, window) : loadUnary(load);
    }),
  );
  const seconds = duration / 1_000;
  const ms = (ns: number): number => Math.round(ns / 1_000) / 1_000;
  const { histogram } = meter;
  return {
    target: typeof target === "string" ? target : target.modules.join(" > "),
    mode: callers === undefined ? "stream" : "unary",
    clients,
    window: callers === undefined ? window : undefined,
    batchRecords: options.batchRecords,
    batchBytes: Math.round(batches.reduce((sum, { bytes }) => sum + bytes.length, 0) / batches.length),
    durationMs: duration,
    batches: meter.batches,
    records: meter.recordsIn,
    recordsOut: meter.recordsOut,
    recordsFailed: meter.recordsFailed,
    batchesPerSecond: Math.round(meter.batches / seconds),
    recordsPerSecond: Math.round(meter.recordsIn / seconds),
    megabytesPerSecond: Math.round(meter.bytes / seconds / 1e5) / 10,
    latencyMs: {
      mean: meter.batches === 0 ? 0 : ms(histogram.mean),
      p50: ms(histogram.percentile(50)),
      p90: ms(histogram.percentile(90)),
      p99: ms(histogram.percentile(99)),
      p999: ms(histogram.percentile(99.9)),
      max: ms(histogram.max),
    },
    callErrors: meter.callErrors,
    firstCallError:
      meter.firstCallError === undefined ? undefined : await describeError(meter.firstCallError),
  };
}

interface Load {
  readonly leat: Leat;
  readonly target: TargetInput;
  readonly batches: readonly EncodedBatch[];
  readonly endMs: number;
  readonly meter: Meter;
  /** Which batch is the first. */
  readonly first: number;
}

/** Keeps one stream full. */
async function loadStream(load: Load, window: number | undefined): Promise<void> {
  const { leat, target, endMs, meter } = load;
  const sent: { readonly sentMs: number; readonly batch: EncodedBatch }[] = [];
  function* source(): Generator<EncodedBatch> {
    for (let place = load.first; performance.now() < endMs; place++) {
      const batch = batchAt(load, place);
      sent.push({ sentMs: performance.now(), batch });
      yield batch;
    }
  }
  for await (const result of leat.stream(target, source(), window === undefined ? {} : { window })) {
    // Results come in the order of the batches.
    const own = sent.shift();
    if (own !== undefined) meter.add(own.sentMs, own.batch, result);
  }
}

/** Makes one unary call after the other. */
async function loadUnary(load: Load): Promise<void> {
  const { leat, target, endMs, meter } = load;
  for (let place = load.first; performance.now() < endMs; place++) {
    const batch = batchAt(load, place);
    const sentMs = performance.now();
    try {
      meter.add(sentMs, batch, await leat.transform(target, batch));
    } catch (error) {
      meter.error(error);
      // A server that is gone answers at once: do not spin.
      if (meter.callErrors > 1_000 && meter.batches === 0) throw error;
    }
  }
}

function batchAt({ batches }: Load, place: number): EncodedBatch {
  const batch = batches[place % batches.length];
  if (batch === undefined) throw new RangeError("there are no batches");
  return batch;
}
