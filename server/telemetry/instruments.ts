/**
 * One set of instruments over the server's figures. Nothing happens until somebody reads them, and
 * then each reads a plain field.
 *
 * @module
 */

import { type Instrument, Instruments, observeAll, type Point, whileTrue } from "./instrument-group.ts";
import { labelNames as label, metricNames as name } from "./names.ts";
import { registerPipelines, registerStages } from "./pipeline-instruments.ts";
import type { Stats } from "./stats.ts";

const secondsPerNs = 1e-9;
const secondsPerUs = 1e-6;
const secondsPerMs = 1e-3;

/** Makes all instruments over a set of figures. */
export function instrumentsOf(stats: Stats): Instruments {
  const group = new Instruments();
  registerServer(group, stats);
  registerModuleCache(group, stats);
  registerAccess(group, stats);
  registerConfig(group, stats);
  registerSignatures(group, stats);
  registerAudit(group, stats);
  registerRollouts(group, stats);
  registerDeadLetters(group, stats);
  registerProcess(group, stats);
  registerPipelines(group, stats);
  registerStages(group, stats);
  return group;
}

function connectionReads(group: Instruments, { connections }: Stats): [Instrument, () => readonly Point[]][] {
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

function poolReads(group: Instruments, { pool }: Stats): [Instrument, () => readonly Point[]][] {
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

function registerServer(group: Instruments, stats: Stats): void {
  const { admission } = stats;
  const reads: [Instrument, () => readonly Point[]][] = [
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

function registerModuleCache(group: Instruments, { moduleCache }: Stats): void {
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

function registerRollouts(group: Instruments, stats: Stats): void {
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

function registerAccess(group: Instruments, { access }: Stats): void {
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

function registerSignatures(group: Instruments, { signatures }: Stats): void {
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

function registerAudit(group: Instruments, { audit }: Stats): void {
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

function registerConfig(group: Instruments, { config }: Stats): void {
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

function registerDeadLetters(group: Instruments, stats: Stats): void {
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

function registerProcess(group: Instruments, stats: Stats): void {
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
