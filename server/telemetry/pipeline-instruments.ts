/**
 * The instruments over the figures of pipelines and their stages.
 *
 * @module
 */

import type { Instruments, Labels, Observed } from "./instrument-group.ts";
import { labelNames as label, metricNames as name } from "./names.ts";
import type { StageStats } from "./stage-stats.ts";
import { batchSizeBounds, type PipelineStats, type Stats } from "./stats.ts";

const secondsPerNs = 1e-9;
const secondsPerUs = 1e-6;

/** Makes the instruments over the figures of pipelines. */
export function registerPipelines(group: Instruments, stats: Stats): void {
  const batches = group.counter(name.batches, { description: "Batches answered" });
  const batchTime = group.counter(name.batchTime, {
    description: "Time of batches answered with a result, from admission to answer",
    unit: "s",
  });
  const phaseTime = group.counter(name.phaseTime, { description: "Time of batches by phase", unit: "s" });
  const phaseCount = group.counter(name.phaseCount, { description: "How often each phase was measured" });
  const records = group.counter(name.records, { description: "Records" });
  const bytes = group.counter(name.bytes, { description: "Bytes of batches and results", unit: "By" });
  const executions = group.counter(name.executions, { description: "Crossings into a worker" });
  const batchSize = group.gauge(name.batchSize, { description: "Crossings with at most `le` records" });

  function observePipeline(result: Observed, figures: PipelineStats): void {
    const pipeline = { [label.pipeline]: figures.pipeline };
    result.observe(batches, figures.success.count, { ...pipeline, [label.outcome]: "ok" });
    for (const [reason, count] of figures.errors) {
      result.observe(batches, count, { ...pipeline, [label.outcome]: reason });
    }
    result.observe(batchTime, figures.success.totalNs * secondsPerNs, pipeline);
    const phases = {
      queue: figures.queue,
      copy_in: figures.copyIn,
      execute: figures.execute,
      copy_out: figures.copyOut,
    };
    for (const [phase, { count, totalNs }] of Object.entries(phases)) {
      result.observe(phaseTime, totalNs * secondsPerNs, { ...pipeline, [label.phase]: phase });
      result.observe(phaseCount, count, { ...pipeline, [label.phase]: phase });
    }
    result.observe(records, figures.recordsIn, { ...pipeline, [label.direction]: "in" });
    result.observe(records, figures.recordsOut, { ...pipeline, [label.direction]: "out" });
    result.observe(records, figures.recordsFailed, { ...pipeline, [label.direction]: "failed" });
    result.observe(bytes, figures.bytesIn, { ...pipeline, [label.direction]: "in" });
    result.observe(bytes, figures.bytesOut, { ...pipeline, [label.direction]: "out" });
    result.observe(executions, figures.executions, pipeline);
    let atMost = 0;
    for (const [bucket, count] of figures.batchSizes.entries()) {
      atMost += count;
      const bound = batchSizeBounds[bucket];
      result.observe(batchSize, atMost, { ...pipeline, [label.maxRecords]: bound?.toString() ?? "+Inf" });
    }
  }

  group.observeInPieces(function* (result) {
    for (const figures of stats.pipelines()) {
      observePipeline(result, figures);
      yield;
    }
  });
}

/** The breaker's states as a gauge shows them. */
const breakerLevels = { closed: 0, half_open: 1, open: 2 } as const;

/** The breakers of stages' modules, as they are when they are read. */
function stageBreaker(
  group: Instruments,
  stats: Stats,
): (result: Observed, stage: Labels, figures: StageStats) => void {
  const level = group.gauge(name.stageBreaker, {
    description: "The breaker of a stage's module: 0 closed, 1 half open, 2 open",
  });
  const opened = group.counter(name.stageBreakerOpened, { description: "How often that breaker opened" });
  const moves = group.counter(name.stageBreakerTransitions, {
    description: "How often that breaker came to a state",
  });
  return (result, stage, { digest }) => {
    const { state, transitions } = stats.breaker(digest);
    result.observe(level, breakerLevels[state], stage);
    result.observe(opened, transitions.open, stage);
    for (const [to, count] of Object.entries(transitions))
      result.observe(moves, count, { ...stage, [label.to]: to });
  };
}

/** What modules use: processor, memory, instances, log lines. */
function stageUsage(group: Instruments): (result: Observed, stage: Labels, figures: StageStats) => void {
  const cpu = group.counter(name.stageCpu, { description: "Processor time of a stage", unit: "s" });
  const memory = group.gauge(name.stageMemory, {
    description: "Largest memory of a stage's instances",
    unit: "By",
  });
  const discarded = group.counter(name.stageInstancesDiscarded, { description: "Instances dropped" });
  const lines = group.counter(name.stageLogLines, { description: "Lines that a stage's module logged" });
  const updates = group.counter(name.stageCounterUpdates, {
    description: "Additions to custom counters; other: their name found no room",
  });
  return (result, stage, figures) => {
    result.observe(cpu, figures.cpuUs * secondsPerUs, stage);
    result.observe(memory, figures.memoryHighWaterBytes, stage);
    for (const [reason, count] of Object.entries(figures.instancesDiscarded))
      result.observe(discarded, count, { ...stage, [label.reason]: reason });
    result.observe(lines, figures.logLines, { ...stage, [label.outcome]: "written" });
    result.observe(lines, figures.logLinesDropped, { ...stage, [label.outcome]: "dropped" });
    const named = figures.counterUpdates - figures.counterUpdatesUnnamed;
    result.observe(updates, named, { ...stage, [label.outcome]: "named" });
    result.observe(updates, figures.counterUpdatesUnnamed, { ...stage, [label.outcome]: "other" });
  };
}

/** Makes the instruments over the figures of stages. */
export function registerStages(group: Instruments, stats: Stats): void {
  const executions = group.counter(name.stageExecutions, { description: "Runs of a stage" });
  const time = group.counter(name.stageTime, { description: "Time a stage ran", unit: "s" });
  const records = group.counter(name.stageRecords, { description: "Records of a stage" });
  const failures = group.counter(name.stageFailures, { description: "Records that failed in a stage" });
  const instances = group.counter(name.stageInstances, { description: "Instances made for a stage" });
  const usage = stageUsage(group);
  const retries = group.counter(name.stageRetries, { description: "Records that were tried again" });
  const letters = group.counter(name.stageDeadLetters, { description: "Records that became dead letters" });
  const breaker = stageBreaker(group, stats);
  const counter = group.gauge(name.stageCounter, { description: "Custom counters of a stage's module" });

  function observeStage(result: Observed, pipeline: string, figures: StageStats): void {
    const stage = {
      [label.pipeline]: pipeline,
      [label.stage]: figures.stage,
      [label.module]: figures.module,
      [label.version]: figures.version,
      [label.digest]: figures.digest,
    };
    result.observe(executions, figures.execute.count, stage);
    result.observe(time, figures.execute.totalNs * secondsPerNs, stage);
    result.observe(records, figures.recordsIn, { ...stage, [label.direction]: "in" });
    result.observe(records, figures.recordsOut, { ...stage, [label.direction]: "out" });
    if (figures.recordsSkipped > 0)
      result.observe(records, figures.recordsSkipped, { ...stage, [label.direction]: "skipped" });
    result.observe(instances, figures.instancesCreated, stage);
    usage(result, stage, figures);
    result.observe(retries, figures.retries, stage);
    result.observe(letters, figures.deadLetters, stage);
    breaker(result, stage, figures);
    for (const [code, count] of figures.failures)
      result.observe(failures, count, { ...stage, [label.code]: code });
    for (const [custom, value] of figures.counters) {
      result.observe(counter, value, { ...stage, [label.counter]: custom });
    }
  }

  group.observeInPieces(function* (result) {
    for (const pipeline of stats.pipelines()) {
      for (const figures of pipeline.allStages()) {
        observeStage(result, pipeline.pipeline, figures);
        yield;
      }
    }
  });
}
