/**
 * What the server counts. Plain fields that the data path increments: no lock, no allocation,
 * no call into a telemetry library. The Metrics RPC, the Prometheus endpoint and OTLP read them.
 *
 * Every collection here is bounded, so that neither a client that invents pipelines nor a
 * module that invents codes can make it grow.
 *
 * @module
 */

import { systemClock } from "../clock.ts";
import { defaultLimits } from "../limits.ts";
import { AuditStats } from "./audit-stats.ts";
import { otherName } from "./names.ts";
import {
  addTo,
  type BreakerFigures,
  type StageIdentity,
  StageStats,
  type StatsLimits,
  TimedCount,
} from "./stage-stats.ts";

/** The inclusive upper bounds of the batch-size buckets, in records; one more bucket has none. */
export const batchSizeBounds: readonly number[] = Object.freeze([
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000,
]);

/** What became of callers' credentials. */
export interface AccessStats {
  /** Calls refused, by the catalogue's reason. */
  readonly refused: Map<string, number>;
  /** When the server's certificate expires, in milliseconds since the Unix epoch; 0 without one. */
  certificateExpiresMs: number;
}

/** A module in quarantine. */
export interface QuarantinedModule {
  /** Its digest. */
  readonly digest: string;
  /** A name that it is loaded under; empty when it is not loaded. */
  readonly module: string;
}

/** A module version that is confined to one worker at a time. */
export interface ConfinedModule {
  readonly module: string;
  readonly version: string;
  readonly digest: string;
  readonly sinceMs: number;
  readonly untilMs: number;
  readonly why: string;
}

/** A version that is tried now. */
export interface RolloutFigures {
  readonly module: string;
  /** The version that is tried. */
  readonly version: string;
  readonly mode: "canary" | "shadow";
  readonly share: number;
  /** Batches that it ran, and those that ended with an error. */
  readonly batches: number;
  readonly errors: number;
  /** What a shadow has compared. */
  readonly same: number;
  readonly different: number;
  readonly dropped: number;
}

/** The place of a stage that has no figures. */
const noStage: StageIdentity = { stage: "", module: "", version: "", digest: "" };

/** What the names of inline chains begin with. */
const inlinePrefix = "inline:";

/** Figures of one pipeline. */
export class PipelineStats {
  /** The pipeline's name. */
  readonly pipeline: string;
  /** Batches answered with a result, and their time from admission to answer. */
  readonly success = new TimedCount();
  /** Batches answered with an error, by the catalogue's reason. */
  readonly errors = new Map<string, number>();
  /** The time batches waited for a worker. */
  readonly queue = new TimedCount();
  /** The time spent copying batches into shared memory. */
  readonly copyIn = new TimedCount();
  /** The time batches ran, over all stages. */
  readonly execute = new TimedCount();
  /** The time spent copying results out of shared memory. */
  readonly copyOut = new TimedCount();
  /** Records that came in. */
  recordsIn = 0;
  /** Records that went out. */
  recordsOut = 0;
  /** Records that failed. */
  recordsFailed = 0;
  /** Crossings into a worker. */
  executions = 0;
  /** Bytes of batches that came in. */
  bytesIn = 0;
  /** Bytes of results that went out. */
  bytesOut = 0;
  /** Crossings by their number of records: one more entry than {@link batchSizeBounds}. */
  readonly batchSizes = new Float64Array(batchSizeBounds.length + 1);
  /** The stages as they run now, in order; one without a name has no figures. */
  readonly stages: StageStats[] = [];
  /** Figures of stages or module versions that served before, newest last; at most `maxFormerStages`. */
  readonly formerStages: StageStats[] = [];
  /** When the pipeline was last looked up; orders pipelines, is no time. */
  lastUse = 0;
  readonly #limits: StatsLimits;

  constructor(pipeline: string, limits: StatsLimits = defaultLimits) {
    this.pipeline = pipeline;
    this.#limits = limits;
  }

  /** Counts a batch that was answered with an error. */
  addError(reason: string): void {
    addTo(this.errors, reason, 1, this.#limits.maxFailureCodesPerStage);
  }

  /** Counts one crossing with so many records into its bucket. */
  addBatchSize(records: number): void {
    let bucket = 0;
    while (bucket < batchSizeBounds.length && records > (batchSizeBounds[bucket] ?? 0)) bucket += 1;
    this.batchSizes[bucket] = (this.batchSizes[bucket] ?? 0) + 1;
  }

  /**
   * The figures of the stage at a place in the pipeline. Another module version starts its own,
   * and the old ones are kept; a version that comes back goes on where it was.
   *
   * @param index - the stage's place, from 0
   */
  stage(index: number, identity: StageIdentity): StageStats {
    const current = this.stages[index];
    return current?.is(identity) ? current : this.#replaceStage(index, identity);
  }

  /** The stages that have figures: those that run now, then the former ones. */
  allStages(): StageStats[] {
    return [...this.stages.filter((stage) => !stage.is(noStage)), ...this.formerStages];
  }

  /** Forgets a module version that is unloaded. */
  forgetVersion(digest: string): void {
    const formers = this.formerStages.filter((stage) => stage.digest !== digest);
    this.formerStages.splice(0, this.formerStages.length, ...formers);
    for (const [index, stage] of this.stages.entries())
      if (stage.digest === digest) this.stages[index] = new StageStats(noStage, this.#limits);
    while (this.stages.at(-1)?.is(noStage)) this.stages.pop();
  }

  #replaceStage(index: number, identity: StageIdentity): StageStats {
    const formerIndex = this.formerStages.findIndex((former) => former.is(identity));
    const [former] = formerIndex === -1 ? [] : this.formerStages.splice(formerIndex, 1);
    const next = former ?? new StageStats(identity, this.#limits);
    const current = this.stages[index];
    if (current !== undefined && !current.is(noStage)) this.formerStages.push(current);
    while (this.formerStages.length > this.#limits.maxFormerStages) this.formerStages.shift();
    while (this.stages.length < index) {
      this.stages.push(new StageStats(noStage, this.#limits));
    }
    this.stages[index] = next;
    return next;
  }
}

/** Figures of the worker pool. */
export interface PoolStats {
  /** Workers that take batches. */
  workers: number;
  /** Warm spares. */
  spares: number;
  /** Workers that are running a batch. */
  busy: number;
  /** Live instances over all workers. */
  instances: number;
  /** The memory of these instances, in bytes. */
  instanceBytes: number;
  /** Processes that pipelines have for themselves. */
  processes: number;
  /** Workers that were stopped, by reason: `timeout`, `cancelled`, `crash`, `out_of_memory`. */
  readonly stopped: Map<string, number>;
}

/** What is admitted. */
export interface AdmissionStats {
  /** Batches admitted and not yet answered. */
  batches: number;
  /** Their bytes. */
  bytes: number;
  /** The limit on those bytes. */
  limitBytes: number;
  /** Calls refused because the queue was full. */
  refused: number;
  /** Open streams. */
  streams: number;
}

/** The connections of one port. */
export interface ConnectionStats {
  /** Those that are open. */
  open: number;
  /** Those that were closed at once, since `maxConnections` were open. */
  dropped: number;
}

/** Figures of the compiled-module cache. */
export interface ModuleCacheStats {
  /** Modules in the cache. */
  modules: number;
  /** Their source bytes. */
  bytes: number;
  /** Uses that found their module compiled. */
  hits: number;
  /** Uses that had to compile. */
  misses: number;
  /** Modules dropped to make room. */
  evictions: number;
  /** Compilations and their time. */
  readonly compile: TimedCount;
}

/** What the store of dead letters holds. */
export interface DeadLetterStats {
  readonly letters: number;
  readonly bytes: number;
  /** Whether it cannot be used. */
  readonly failed: boolean;
}

/** What became of changes of the configuration. */
export interface ConfigStats {
  /** How many there were, by outcome: `changed`, `unchanged`, `refused`. */
  readonly changes: Map<string, number>;
  /** When the configuration in force was taken, in milliseconds since the Unix epoch. */
  lastGoodMs: number;
}

/** All figures of a server. */
export class Stats {
  /** When counting began, in milliseconds since the Unix epoch. */
  readonly startMs: number;
  /** The worker threads. */
  readonly pool: PoolStats = {
    workers: 0,
    spares: 0,
    busy: 0,
    instances: 0,
    instanceBytes: 0,
    processes: 0,
    stopped: new Map(),
  };
  /** The audit log. */
  audit = new AuditStats();
  /** Callers' credentials. */
  access: AccessStats = { refused: new Map(), certificateExpiresMs: 0 };
  /**
   * Loads by `verified` or what is wrong with the signature, how many loaded modules are kept from running for it, and
   * the keys that retire.
   */
  readonly signatures = {
    loads: new Map<string, number>(),
    refused: (): number => 0,
    expiring: (): readonly { readonly name: string; readonly notAfterMs: number }[] => [],
  };
  /** The configuration. */
  readonly config: ConfigStats = { changes: new Map(), lastGoodMs: 0 };
  /** What is admitted at this moment. */
  readonly admission: AdmissionStats = { batches: 0, bytes: 0, limitBytes: 0, refused: 0, streams: 0 };
  /** The connections of each port. */
  readonly connections: Readonly<Record<"grpc" | "http", ConnectionStats>> = {
    grpc: { open: 0, dropped: 0 },
    http: { open: 0, dropped: 0 },
  };
  /** The compiled modules. */
  readonly moduleCache: ModuleCacheStats = {
    modules: 0,
    bytes: 0,
    hits: 0,
    misses: 0,
    evictions: 0,
    compile: new TimedCount(),
  };
  /** Reads which versions are tried. */
  rollouts: () => readonly RolloutFigures[] = () => [];
  /** Reads what is in quarantine. */
  quarantined: () => readonly QuarantinedModule[] = () => [];
  /** Reads which modules are confined to the lane of offenders. */
  confined: () => readonly ConfinedModule[] = () => [];
  /** Reads the breaker of a module version, by its digest. */
  breaker: (digest: string) => BreakerFigures = () => ({
    state: "closed",
    transitions: { closed: 0, open: 0, half_open: 0 },
  });
  /** Failures whose dead letter could not be kept. */
  lettersLost = 0;
  /** The store of dead letters. */
  deadLetters: () => DeadLetterStats = () => ({ letters: 0, bytes: 0, failed: false });
  readonly #pipelines = new Map<string, PipelineStats>();
  readonly #limits: StatsLimits;
  #uses = 0;

  /**
   * @param startMs - when the server started, in milliseconds since the Unix epoch; default now
   * @param limits - how much may be counted apart
   */
  constructor(startMs: number = systemClock.nowMs(), limits: StatsLimits = defaultLimits) {
    this.startMs = startMs;
    this.#limits = limits;
  }

  /**
   * The figures of a pipeline. Look them up for each batch (one map access): beyond
   * `maxPipelines + maxInlinePipelines`, the pipeline unused for longest is folded into `other`.
   */
  pipeline(name: string): PipelineStats {
    let pipeline = this.#pipelines.get(name);
    if (pipeline === undefined) {
      this.#makeRoom();
      pipeline = new PipelineStats(name, this.#limits);
      this.#pipelines.set(name, pipeline);
    }
    this.#uses += 1;
    pipeline.lastUse = this.#uses;
    return pipeline;
  }

  /** The pipelines that have figures, in no particular order. */
  pipelines(): Iterable<PipelineStats> {
    return this.#pipelines.values();
  }

  /**
   * Ends the figures of a module version that is unloaded: those that pipelines have of it, and inline chains with it, which
   * are folded into `other`.
   */
  forget(digest: string): void {
    for (const pipeline of [...this.#pipelines.values()]) {
      const runsIt = pipeline.stages.some((stage) => stage.digest === digest);
      if (runsIt && pipeline.pipeline.startsWith(inlinePrefix)) this.#fold(pipeline);
      else pipeline.forgetVersion(digest);
    }
  }

  #makeRoom(): void {
    if (this.#pipelines.size < this.#limits.maxPipelines + this.#limits.maxInlinePipelines) return;
    let oldest: PipelineStats | undefined;
    for (const candidate of this.#pipelines.values()) {
      if (candidate.pipeline === otherName) continue;
      if (oldest === undefined || candidate.lastUse < oldest.lastUse) oldest = candidate;
    }
    if (oldest !== undefined) this.#fold(oldest);
  }

  #fold(pipeline: PipelineStats): void {
    this.#pipelines.delete(pipeline.pipeline);
    let other = this.#pipelines.get(otherName);
    if (other === undefined) {
      other = new PipelineStats(otherName, this.#limits);
      this.#pipelines.set(otherName, other);
    }
    foldPipeline(pipeline, other, this.#limits);
  }
}

/** Adds one pipeline's totals to another's; its stages are not carried over. */
function foldPipeline(from: PipelineStats, into: PipelineStats, limits: StatsLimits): void {
  for (const field of ["success", "queue", "copyIn", "execute", "copyOut"] as const) {
    into[field].count += from[field].count;
    into[field].totalNs += from[field].totalNs;
  }
  for (const field of [
    "recordsIn",
    "recordsOut",
    "recordsFailed",
    "executions",
    "bytesIn",
    "bytesOut",
  ] as const) {
    into[field] += from[field];
  }
  for (const [reason, count] of from.errors)
    addTo(into.errors, reason, count, limits.maxFailureCodesPerStage);
  for (const [bucket, count] of from.batchSizes.entries()) {
    into.batchSizes[bucket] = (into.batchSizes[bucket] ?? 0) + count;
  }
}
