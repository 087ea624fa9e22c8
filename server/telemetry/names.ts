/**
 * Every span, span attribute, span event and metric that the server emits, by name. Dashboards
 * and queries depend on these strings: a change here is a breaking one.
 *
 * @module
 */

/** Where figures go whose own name found no room. */
export const otherName = "other";

/** Span names. */
export const spanNames = {
  /** A unary call, SERVER; named as gRPC names the method. */
  transform: "leat.v1.TransformService/Transform",
  /** One batch of a stream: SERVER, a child of the producer's span. */
  batch: "leat.batch",
  /** The time from admission until a worker took the batch. */
  queue: "leat.queue",
  /** A breaker's transition, without duration. */
  breaker: "leat.breaker",
} as const;

/** The name of the span of one stage. */
export function stageSpanName(stage: string): string {
  return `leat.stage ${stage}`;
}

/** Span attributes. */
export const attributeNames = {
  /** The pipeline's name. */
  pipeline: "leat.pipeline",
  /** The stage's name. */
  stage: "leat.stage",
  /** The module's name. */
  moduleName: "leat.module.name",
  /** The module's version. */
  moduleVersion: "leat.module.version",
  /** The module's digest: `sha256:` and 64 hex digits. */
  moduleDigest: "leat.module.digest",
  /** Records that came in. */
  recordsIn: "leat.records.in",
  /** Records that went out. */
  recordsOut: "leat.records.out",
  /** Records that failed. */
  recordsFailed: "leat.records.failed",
  /** Records that passed the stage by, since its condition does not hold for them. Only where there are some. */
  recordsSkipped: "leat.records.skipped",
  /** Which run of the stage this was, from 1. */
  attempt: "leat.attempt",
  /** The worker thread's number. */
  worker: "leat.worker",
  /** Whether the stage ran in an instance that had run before. */
  instanceReused: "leat.instance.reused",
  /** Failed records that have no event of their own, because there were too many. */
  failuresOmitted: "leat.failures.omitted",
  /** A failed record's place in its batch, from 0 (on the event). */
  recordIndex: "leat.record.index",
  /** A failed record's code (on the event). */
  failureCode: "leat.failure.code",
  /** A failed record's message (on the event). */
  failureMessage: "leat.failure.message",
  /** The breaker's state before: `closed`, `open` or `half_open`. */
  breakerFrom: "leat.breaker.from",
  /** The breaker's state after. */
  breakerTo: "leat.breaker.to",
  /** The reason from the error catalogue with which the batch failed. Source: OpenTelemetry semantic conventions, error. */
  errorType: "error.type",
  /** Always `grpc`. Source: OpenTelemetry semantic conventions, RPC. */
  rpcSystem: "rpc.system",
  /** The gRPC service. */
  rpcService: "rpc.service",
  /** The gRPC method. */
  rpcMethod: "rpc.method",
  /** The gRPC status as a number. */
  rpcStatus: "rpc.grpc.status_code",
} as const;

/** Span events. */
export const eventNames = {
  /** One record failed. */
  recordFailed: "leat.record.failed",
} as const;

/**
 * Metric names as OpenTelemetry has them. Prometheus shows `.` as `_` and ends counters in
 * `_total`: `leat.phase.seconds` is `leat_phase_seconds_total` there.
 */
export const metricNames = {
  /** Batches that were answered. Labels: pipeline, outcome (`ok` or the error's reason). */
  batches: "leat.batches",
  /** Time of batches answered with a result, from admission to answer. Labels: pipeline. */
  batchTime: "leat.batch.seconds",
  /** Time of batches by phase. Labels: pipeline, phase (`queue`, `copy_in`, `execute`, `copy_out`). */
  phaseTime: "leat.phase.seconds",
  /** How often each phase was measured. Labels: pipeline, phase. */
  phaseCount: "leat.phase.count",
  /** Records. Labels: pipeline, direction (`in`, `out`, `failed`). */
  records: "leat.records",
  /** Bytes of batches and results. Labels: pipeline, direction (`in`, `out`). */
  bytes: "leat.bytes",
  /** Crossings into a worker. Labels: pipeline. */
  executions: "leat.executions",
  /** Crossings with at most so many records, cumulative, for `histogram_quantile`. Labels: pipeline, le. */
  batchSize: "leat.batch.size.bucket",
  /** Runs of a stage. Labels: pipeline, stage, module, version, digest. */
  stageExecutions: "leat.stage.executions",
  /** Time a stage ran. Labels: as above. */
  stageTime: "leat.stage.seconds",
  /** Records of a stage. Labels: as above and direction (`in`, `out`, and `skipped` where the stage has a condition). */
  stageRecords: "leat.stage.records",
  /** Records that failed in a stage. Labels: as above and code. */
  stageFailures: "leat.stage.failures",
  /** Instances made for a stage. Labels: as above. */
  stageInstances: "leat.stage.instances",
  /** Instances of a stage that were dropped. Labels: as above and reason (`fault`, `memory`, `fresh`, `evicted`). */
  stageInstancesDiscarded: "leat.stage.instances.discarded",
  /** Processor time of a stage's runs, also of those that were stopped. Labels: as `leat.stage.executions`. */
  stageCpu: "leat.stage.cpu.seconds",
  /** The largest memory that an instance of the stage had. Labels: as above. */
  stageMemory: "leat.stage.memory.high_water.bytes",
  /** Lines that the stage's module logged. Labels: as above and outcome (`written`, `dropped`). */
  stageLogLines: "leat.stage.log_lines",
  /** Additions to the module's own counters. Labels: as above and outcome (`named`, `other`). */
  stageCounterUpdates: "leat.stage.counter_updates",
  /** Records that were tried again. */
  stageRetries: "leat.stage.retries",
  /** Records that became dead letters. */
  stageDeadLetters: "leat.stage.dead_letters",
  /** The breaker of the stage's module version: 0 closed, 1 half open, 2 open. */
  stageBreaker: "leat.stage.breaker",
  /** How often that breaker opened. */
  stageBreakerOpened: "leat.stage.breaker.opened",
  /** How often that breaker came to a state. Labels: as `leat.stage.executions` and to (`closed`, `half_open`, `open`). */
  stageBreakerTransitions: "leat.stage.breaker.transitions",
  /** Custom counters of a stage's module; they may fall. Labels: as above and counter. */
  stageCounter: "leat.stage.counter",
  /** Dead letters that are kept. */
  letters: "leat.dead_letters.kept",
  /** Their bytes. */
  letterBytes: "leat.dead_letters.bytes",
  /** Failures whose dead letter could not be kept: they were told to the caller, without a letter's id. */
  lettersLost: "leat.dead_letters.lost",
  /** 1 while the store of dead letters cannot be used, else 0. */
  letterStoreFailed: "leat.dead_letters.store_failed",
  /** Workers. Labels: state (`busy`, `idle`, `spare`). */
  poolWorkers: "leat.pool.workers",
  /** Workers that were stopped. Labels: reason. */
  poolStopped: "leat.pool.stopped",
  /** Processes that pipelines have for themselves, with those that stand by. */
  poolProcesses: "leat.pool.processes",
  /** Live instances over all workers. */
  poolInstances: "leat.pool.instances",
  /** Their memory. */
  poolInstanceBytes: "leat.pool.instances.bytes",
  /** Batches admitted and not yet answered. */
  admittedBatches: "leat.admission.batches",
  /** Their bytes. */
  admittedBytes: "leat.admission.bytes",
  /** The limit on those bytes. */
  admittedBytesLimit: "leat.admission.bytes.limit",
  /** Calls refused because the queue was full. */
  refused: "leat.admission.refused",
  /** Open streams. */
  streams: "leat.admission.streams",
  /** Open connections. Labels: port (`grpc`, `http`). */
  connections: "leat.connections.open",
  /** Connections closed at once, since `maxConnections` were open. Labels: port. */
  connectionsDropped: "leat.connections.dropped",
  /** Compiled modules in the cache. */
  cacheModules: "leat.module_cache.modules",
  /** Their source bytes. */
  cacheBytes: "leat.module_cache.bytes",
  /** Uses of the cache. Labels: outcome (`hit`, `miss`). */
  cacheUses: "leat.module_cache.uses",
  /** Modules dropped to make room. */
  cacheEvictions: "leat.module_cache.evictions",
  /** Compilations. */
  compilations: "leat.compilations",
  /** Time they took. */
  compileTime: "leat.compile.seconds",
  moduleQuarantined: "leat.module.quarantined",
  /** 1 for each module version that is confined to one worker at a time. Labels: module, version, digest. */
  moduleConfined: "leat.module.confined",
  /** Loads of modules whose signature was looked at. Labels: outcome (`verified` or the reason). */
  moduleSignatures: "leat.module.signatures",
  /** Loaded modules that are not served for their signature. */
  moduleSignatureRefused: "leat.module.signature_refused",
  /** When a key that signs modules retires, in seconds since the Unix epoch. Labels: key. */
  signingKeyExpires: "leat.signing_key_expires.seconds",
  /** The share of batches on which a version is tried. Labels: module, version, mode (`canary`, `shadow`). */
  rolloutShare: "leat.rollout.share",
  /** Batches of a rollout that runs. Labels: as above and outcome (`ok`, `error`). */
  rolloutBatches: "leat.rollout.batches",
  /** Batches of a shadow. Labels: module, version, outcome (`same`, `different`, `dropped`). */
  shadowBatches: "leat.rollout.shadow.batches",
  /** Changes of the configuration while the server runs. Labels: outcome (`changed`, `unchanged`, `refused`). */
  configChanges: "leat.config.changes",
  /** When the configuration in force was taken, in seconds since the Unix epoch. */
  configTaken: "leat.config.taken.seconds",
  /** Calls refused for their credentials. Labels: reason. */
  accessRefused: "leat.access.refused",
  /** Entries of the audit log that were written. Labels: outcome (`ok`, `failed`). */
  auditEntries: "leat.audit.entries",
  /** How often the audit log could not be written. */
  auditFailures: "leat.audit.failures",
  /** Entries that could not be written and were given up. */
  auditLost: "leat.audit.lost",
  /** Refusals without an audit entry, because there were too many. */
  auditOmitted: "leat.audit.omitted",
  /** When the server's certificate expires, in seconds since the Unix epoch. */
  certificateExpires: "leat.tls.certificate_expires.seconds",
  /** The process's memory. Labels: kind (`rss`, `heap_used`, `external`). */
  processMemory: "leat.process.memory.bytes",
  /** The process's CPU time. Labels: mode (`user`, `system`). */
  processCpu: "leat.process.cpu.seconds",
  /** When the server started, in seconds since the Unix epoch. */
  startTime: "leat.start_time.seconds",
} as const;

/** Labels of metrics. Each has a bounded set of values. */
export const labelNames = {
  pipeline: "pipeline",
  stage: "stage",
  module: "module",
  version: "version",
  digest: "digest",
  outcome: "outcome",
  phase: "phase",
  direction: "direction",
  code: "code",
  counter: "counter",
  state: "state",
  to: "to",
  reason: "reason",
  kind: "kind",
  key: "key",
  mode: "mode",
  port: "port",
  maxRecords: "le",
} as const;
