/**
 * One set of OpenTelemetry instruments over the server's figures. They are observable: nothing
 * happens until somebody collects, and then each reads a plain field.
 *
 * @module
 */

import type { Attributes, BatchObservableResult, Meter, Observable } from "@opentelemetry/api";
import { Group, observeAll, type Point, whileTrue } from "./instrument-group.ts";
import { labelNames as label, metricNames as name } from "./names.ts";
import type { StageStats } from "./stage-stats.ts";
import { batchSizeBounds, type PipelineStats, type Stats } from "./stats.ts";

const secondsPerNs = 1e-9;
const secondsPerUs = 1e-6;
const secondsPerMs = 1e-3;

/** Registers all instruments with a meter; they live as long as its provider. */
export function registerInstruments(meter: Meter, stats: Stats): void {
  registerServer(meter, stats);
  registerModuleCache(meter, stats);
  registerAccess(meter, stats);
  registerConfig(meter, stats);
  registerSignatures(meter, stats);
  registerAudit(meter, stats);
  registerRollouts(meter, stats);
  registerDeadLetters(meter, stats);
  registerProcess(meter, stats);
  registerPipelines(meter, stats);
  registerStages(meter, stats);
}

function connectionReads(group: Group, { connections }: Stats): [Observable, () => readonly Point[]][] {
  const ports = Object.entries(connections);
  return [
    [
      group.gauge(name.connections, { description: "Open connections" }),
      () => ports.map(([port, { open }]) => [open, { [label.port]: port }] as const),
    ],
    [
      group.counter(name.connectionsDropped, { description: "Connections closed at once" }),
      () => ports.map(([port, { dropped }]) => [dropped, { [label.port]: port }] as const),
    ],
  ];
}

function poolReads(group: Group, { pool }: Stats): [Observable, () => readonly Point[]][] {
  return [
    [
      group.gauge(name.poolWorkers, { description: "Workers that serve all pipelines" }),
      () => [
        [pool.busy, { [label.state]: "busy" }],
        [Math.max(0, pool.workers - pool.busy), { [label.state]: "idle" }],
        [pool.spares, { [label.state]: "spare" }],
      ],
    ],
    [
      group.counter(name.poolStopped, { description: "Workers that were stopped" }),
      () => Array.from(pool.stopped, ([reason, count]) => [count, { [label.reason]: reason }] as const),
    ],
    [
      group.gauge(name.poolProcesses, { description: "Processes that pipelines have for themselves" }),
      () => [[pool.processes]],
    ],
    [group.gauge(name.poolInstances, { description: "Live module instances" }), () => [[pool.instances]]],
    [
      group.gauge(name.poolInstanceBytes, { description: "Memory of live instances", unit: "By" }),
      () => [[pool.instanceBytes]],
    ],
  ];
}

function registerServer(meter: Meter, stats: Stats): void {
  const { admission } = stats;
  const group = new Group(meter);
  const reads: [Observable, () => readonly Point[]][] = [
    ...connectionReads(group, stats),
    ...poolReads(group, stats),
    [
      group.gauge(name.admittedBatches, { description: "Batches admitted and not yet answered" }),
      () => [[admission.batches]],
    ],
    [
      group.gauge(name.admittedBytes, { description: "Bytes of the admitted batches", unit: "By" }),
      () => [[admission.bytes]],
    ],
    [
      group.gauge(name.admittedBytesLimit, { description: "The limit on those bytes", unit: "By" }),
      () => [[admission.limitBytes]],
    ],
    [
      group.counter(name.refused, { description: "Calls refused because the queue was full" }),
      () => [[admission.refused]],
    ],
    [group.gauge(name.streams, { description: "Open streams" }), () => [[admission.streams]]],
    [
      group.gauge(name.moduleQuarantined, { description: "1 for each module in quarantine" }),
      whileTrue(() =>
        stats.quarantined().map(({ digest, module }) => ({ [label.digest]: digest, [label.module]: module })),
      ),
    ],
    [
      group.gauge(name.moduleConfined, { description: "1 for each module confined to one worker at a time" }),
      whileTrue(() =>
        stats.confined().map(({ module, version, digest }) => ({
          [label.module]: module,
          [label.version]: version,
          [label.digest]: digest,
        })),
      ),
    ],
  ];
  observeAll(group, reads);
}

function registerModuleCache(meter: Meter, { moduleCache }: Stats): void {
  const group = new Group(meter);
  observeAll(group, [
    [group.gauge(name.cacheModules, { description: "Compiled modules" }), () => [[moduleCache.modules]]],
    [
      group.gauge(name.cacheBytes, { description: "Source bytes of the compiled modules", unit: "By" }),
      () => [[moduleCache.bytes]],
    ],
    [
      group.counter(name.cacheUses, { description: "Uses of the module cache" }),
      () => [
        [moduleCache.hits, { [label.outcome]: "hit" }],
        [moduleCache.misses, { [label.outcome]: "miss" }],
      ],
    ],
    [
      group.counter(name.cacheEvictions, { description: "Compiled modules dropped to make room" }),
      () => [[moduleCache.evictions]],
    ],
    [group.counter(name.compilations, { description: "Compilations" }), () => [[moduleCache.compile.count]]],
    [
      group.counter(name.compileTime, { description: "Time of compilations", unit: "s" }),
      () => [[moduleCache.compile.totalNs * secondsPerNs]],
    ],
  ]);
}

function registerRollouts(meter: Meter, stats: Stats): void {
  const group = new Group(meter);
  const share = group.gauge(name.rolloutShare, {
    description: "Share of batches on which a version is tried",
  });
  // A rollout's counts end with it, so none of these only grows.
  const batches = group.gauge(name.rolloutBatches, { description: "Batches of the version that is tried" });
  const shadows = group.gauge(name.shadowBatches, {
    description: "Batches that a shadow compared or left out",
  });
  group.observe((result) => {
    for (const figures of stats.rollouts()) {
      const { module, version, mode } = figures;
      const labels = { [label.module]: module, [label.version]: version, [label.mode]: mode };
      result.observe(share, figures.share, labels);
      result.observe(batches, figures.batches, { ...labels, [label.outcome]: "ok" });
      result.observe(batches, figures.errors, { ...labels, [label.outcome]: "error" });
      if (mode !== "shadow") continue;
      for (const outcome of ["same", "different", "dropped"] as const)
        result.observe(shadows, figures[outcome], { ...labels, [label.outcome]: outcome });
    }
  });
}

function registerAccess(meter: Meter, { access }: Stats): void {
  const group = new Group(meter);
  const refused = group.counter(name.accessRefused, { description: "Calls refused for their credentials" });
  const expires = group.gauge(name.certificateExpires, {
    description: "When the server's certificate expires (Unix time)",
    unit: "s",
  });
  group.observe((result) => {
    for (const [reason, count] of access.refused) result.observe(refused, count, { [label.reason]: reason });
    if (access.certificateExpiresMs > 0) result.observe(expires, access.certificateExpiresMs * secondsPerMs);
  });
}

function registerSignatures(meter: Meter, { signatures }: Stats): void {
  const group = new Group(meter);
  const loads = group.counter(name.moduleSignatures, {
    description: "Loads of modules whose signature was looked at",
  });
  const refused = group.gauge(name.moduleSignatureRefused, {
    description: "Loaded modules that are not served for their signature",
  });
  const expires = group.gauge(name.signingKeyExpires, {
    description: "When a key that signs modules retires (Unix time)",
    unit: "s",
  });
  group.observe((result) => {
    for (const [outcome, count] of signatures.loads)
      result.observe(loads, count, { [label.outcome]: outcome });
    result.observe(refused, signatures.refused());
    for (const { name: key, notAfterMs } of signatures.expiring())
      result.observe(expires, notAfterMs * secondsPerMs, { [label.key]: key });
  });
}

function registerAudit(meter: Meter, { audit }: Stats): void {
  const group = new Group(meter);
  const entries = group.counter(name.auditEntries, { description: "Entries of the audit log" });
  const failures = group.counter(name.auditFailures, {
    description: "How often the audit log could not be written",
  });
  const lost = group.counter(name.auditLost, { description: "Audit entries that were given up" });
  const omitted = group.counter(name.auditOmitted, { description: "Refusals without an audit entry" });
  group.observe((result) => {
    result.observe(entries, audit.entries.ok, { [label.outcome]: "ok" });
    result.observe(entries, audit.entries.failed, { [label.outcome]: "failed" });
    result.observe(failures, audit.failures);
    result.observe(lost, audit.lost);
    result.observe(omitted, audit.omitted);
  });
}

function registerConfig(meter: Meter, { config }: Stats): void {
  const group = new Group(meter);
  const changes = group.counter(name.configChanges, { description: "Changes of the configuration" });
  const taken = group.gauge(name.configTaken, {
    description: "When the configuration in force was taken (Unix time)",
    unit: "s",
  });
  group.observe((result) => {
    for (const [outcome, count] of config.changes)
      result.observe(changes, count, { [label.outcome]: outcome });
    if (config.lastGoodMs > 0) result.observe(taken, config.lastGoodMs * secondsPerMs);
  });
}

function registerDeadLetters(meter: Meter, stats: Stats): void {
  const group = new Group(meter);
  const letters = group.gauge(name.letters, { description: "Dead letters that are kept" });
  const bytes = group.gauge(name.letterBytes, { description: "Bytes of the dead letters", unit: "By" });
  const lost = group.counter(name.lettersLost, {
    description: "Failures whose dead letter could not be kept",
  });
  const failed = group.gauge(name.letterStoreFailed, {
    description: "1 while the store of dead letters cannot be used",
  });
  group.observe((result) => {
    const figures = stats.deadLetters();
    result.observe(letters, figures.letters);
    result.observe(bytes, figures.bytes);
    result.observe(lost, stats.lettersLost);
    result.observe(failed, figures.failed ? 1 : 0);
  });
}

function registerProcess(meter: Meter, stats: Stats): void {
  const group = new Group(meter);
  const memory = group.gauge(name.processMemory, { description: "Memory of the process", unit: "By" });
  const cpu = group.counter(name.processCpu, { description: "CPU time of the process", unit: "s" });
  const start = group.gauge(name.startTime, {
    description: "When the server started (Unix time)",
    unit: "s",
  });
  group.observe((result) => {
    const { rss, heapUsed, external } = process.memoryUsage();
    const { user, system } = process.cpuUsage();
    result.observe(memory, rss, { [label.kind]: "rss" });
    result.observe(memory, heapUsed, { [label.kind]: "heap_used" });
    result.observe(memory, external, { [label.kind]: "external" });
    result.observe(cpu, user * secondsPerUs, { [label.mode]: "user" });
    result.observe(cpu, system * secondsPerUs, { [label.mode]: "system" });
    result.observe(start, stats.startMs * secondsPerMs);
  });
}

function registerPipelines(meter: Meter, stats: Stats): void {
  const group = new Group(meter);
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

  function observePipeline(result: BatchObservableResult, figures: PipelineStats): void {
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

  group.observe((result) => {
    for (const figures of stats.pipelines()) observePipeline(result, figures);
  });
}

/** The breaker's states as a gauge shows them. */
const breakerLevels = { closed: 0, half_open: 1, open: 2 } as const;

/** What modules use: processor, memory, instances, log lines. */
function stageUsage(
  group: Group,
): (result: BatchObservableResult, stage: Attributes, figures: StageStats) => void {
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

function registerStages(meter: Meter, stats: Stats): void {
  const group = new Group(meter);
  const executions = group.counter(name.stageExecutions, { description: "Runs of a stage" });
  const time = group.counter(name.stageTime, { description: "Time a stage ran", unit: "s" });
  const records = group.counter(name.stageRecords, { description: "Records of a stage" });
  const failures = group.counter(name.stageFailures, { description: "Records that failed in a stage" });
  const instances = group.counter(name.stageInstances, { description: "Instances made for a stage" });
  const usage = stageUsage(group);
  const retries = group.counter(name.stageRetries, { description: "Records that were tried again" });
  const letters = group.counter(name.stageDeadLetters, { description: "Records that became dead letters" });
  const breaker = group.gauge(name.stageBreaker, {
    description: "The breaker of a stage's module: 0 closed, 1 half open, 2 open",
  });
  const opened = group.counter(name.stageBreakerOpened, { description: "How often that breaker opened" });
  const counter = group.gauge(name.stageCounter, { description: "Custom counters of a stage's module" });

  function observeStage(result: BatchObservableResult, pipeline: string, figures: StageStats): void {
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
    result.observe(breaker, breakerLevels[figures.breaker], stage);
    result.observe(opened, figures.breakerOpened, stage);
    for (const [code, count] of figures.failures)
      result.observe(failures, count, { ...stage, [label.code]: code });
    for (const [custom, value] of figures.counters) {
      result.observe(counter, value, { ...stage, [label.counter]: custom });
    }
  }

  group.observe((result) => {
    for (const { pipeline, stages, formerStages } of stats.pipelines()) {
      for (const figures of stages) observeStage(result, pipeline, figures);
      for (const figures of formerStages) observeStage(result, pipeline, figures);
    }
  });
}
