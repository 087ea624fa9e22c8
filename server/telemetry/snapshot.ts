/**
 * Turns the server's figures into the message of the Metrics RPC.
 *
 * @module
 */

import { create } from "@bufbuild/protobuf";
import { type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";
import {
  type BatchSizeBucket,
  BatchSizeBucketSchema,
  type MetricsSnapshot,
  MetricsSnapshotSchema,
  type PipelineMetrics,
  PipelineMetricsSchema,
  type StageMetrics,
  StageMetricsSchema,
  type TimedCount as TimedCountMessage,
  TimedCountSchema,
} from "@leat/proto";
import { type Clock, systemClock } from "../clock.ts";
import type { BreakerFigures, StageStats, TimedCount } from "./stage-stats.ts";
import { batchSizeBounds, type PipelineStats, type Stats } from "./stats.ts";

/** What a snapshot covers. */
export interface SnapshotOptions {
  /** Only this pipeline's figures. Default: all. */
  pipeline?: string;
  /** Says when the snapshot was taken. Default: the machine's clock. */
  clock?: Clock;
}

/** Reads all figures at one moment. Pipelines come ordered by name; former module versions follow the stages that run now. */
export function takeSnapshot(stats: Stats, options: SnapshotOptions = {}): MetricsSnapshot {
  const { pipeline: only, clock = systemClock } = options;
  const pipelines = [...stats.pipelines()]
    .filter(({ pipeline }) => only === undefined || only === "" || pipeline === only)
    .sort((a, b) => (a.pipeline < b.pipeline ? -1 : 1));
  const { pool, admission, moduleCache } = stats;
  return create(MetricsSnapshotSchema, {
    time: timestamp(clock.nowMs()),
    startTime: timestamp(stats.startMs),
    pipelines: pipelines.map((pipeline) => pipelineMetrics(pipeline, stats.breaker)),
    pool: { ...pool, instanceBytes: whole(pool.instanceBytes), stopped: counts(pool.stopped) },
    admission: {
      batches: admission.batches,
      streams: admission.streams,
      bytes: whole(admission.bytes),
      limitBytes: whole(admission.limitBytes),
      refused: whole(admission.refused),
    },
    moduleCache: {
      modules: moduleCache.modules,
      bytes: whole(moduleCache.bytes),
      hits: whole(moduleCache.hits),
      misses: whole(moduleCache.misses),
      evictions: whole(moduleCache.evictions),
      compile: timed(moduleCache.compile),
    },
    process: processMetrics(),
    quarantined: stats.quarantined().map(({ digest }) => digest),
    confined: stats.confined().map(({ digest }) => digest),
  });
}

function pipelineMetrics(stats: PipelineStats, breaker: Stats["breaker"]): PipelineMetrics {
  return create(PipelineMetricsSchema, {
    pipeline: stats.pipeline,
    success: timed(stats.success),
    errors: counts(stats.errors),
    queue: timed(stats.queue),
    copyIn: timed(stats.copyIn),
    execute: timed(stats.execute),
    copyOut: timed(stats.copyOut),
    recordsIn: whole(stats.recordsIn),
    recordsOut: whole(stats.recordsOut),
    recordsFailed: whole(stats.recordsFailed),
    executions: whole(stats.executions),
    bytesIn: whole(stats.bytesIn),
    bytesOut: whole(stats.bytesOut),
    stages: stats.allStages().map((stage) => stageMetrics(stage, breaker(stage.digest))),
    batchSizes: batchSizes(stats.batchSizes),
  });
}

function stageMetrics(stats: StageStats, breaker: BreakerFigures): StageMetrics {
  return create(StageMetricsSchema, {
    stage: stats.stage,
    module: stats.module,
    version: stats.version,
    digest: stats.digest,
    execute: timed(stats.execute),
    recordsIn: whole(stats.recordsIn),
    recordsOut: whole(stats.recordsOut),
    failures: counts(stats.failures),
    instancesCreated: whole(stats.instancesCreated),
    counters: Object.fromEntries(stats.counters),
    retries: whole(stats.retries),
    breaker: breaker.state,
    breakerOpened: whole(breaker.transitions.open),
    deadLetters: whole(stats.deadLetters),
    instancesDiscarded: counts(new Map(Object.entries(stats.instancesDiscarded))),
    cpuNs: whole(stats.cpuUs * 1_000),
    memoryHighWaterBytes: whole(stats.memoryHighWaterBytes),
    logLines: whole(stats.logLines),
    logLinesDropped: whole(stats.logLinesDropped),
    counterUpdates: whole(stats.counterUpdates),
    counterUpdatesUnnamed: whole(stats.counterUpdatesUnnamed),
    recordsSkipped: whole(stats.recordsSkipped),
  });
}

function batchSizes(sizes: Float64Array): BatchSizeBucket[] {
  return Array.from(sizes, (count, bucket) =>
    create(BatchSizeBucketSchema, { maxRecords: batchSizeBounds[bucket] ?? 0, count: whole(count) }),
  );
}

function processMetrics() {
  const memory = process.memoryUsage();
  const cpu = process.cpuUsage();
  return {
    rssBytes: whole(memory.rss),
    heapUsedBytes: whole(memory.heapUsed),
    externalBytes: whole(memory.external),
    cpuUserUs: whole(cpu.user),
    cpuSystemUs: whole(cpu.system),
  };
}

function timed(stats: TimedCount): TimedCountMessage {
  return create(TimedCountSchema, { count: whole(stats.count), totalNs: whole(stats.totalNs) });
}

function counts(stats: ReadonlyMap<string, number>): Record<string, bigint> {
  return Object.fromEntries(Array.from(stats, ([name, count]) => [name, whole(count)]));
}

/** A figure as the wire has it: whole and never below 0. */
function whole(value: number): bigint {
  return value > 0 ? BigInt(Math.round(value)) : 0n;
}

function timestamp(ms: number): Timestamp {
  const seconds = Math.floor(ms / 1_000);
  const nanos = Math.min(999_999_999, Math.round((ms - seconds * 1_000) * 1e6));
  return create(TimestampSchema, { seconds: BigInt(seconds), nanos });
}
