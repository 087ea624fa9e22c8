/**
 * What the services work with: the parts behind the doors.
 *
 * @module
 */

import type { MetricsSnapshot, Target } from "@leat/proto";
import type { Gate } from "../access/gate.ts";
import type { Principal } from "../access/principal.ts";
import type { Admission } from "../admission/admission.ts";
import type { Clock } from "../clock.ts";
import type { LiveConfig } from "../config/live-config.ts";
import { leatError } from "../errors.ts";
import type { Limits } from "../limits.ts";
import { BatchJob, type BatchOwner } from "../pool/batch-job.ts";
import type { ServingPipeline } from "../pool/serving-pipeline.ts";
import type { Registry } from "../registry/registry.ts";
import type { Workplaces } from "../scheduling/workplaces.ts";
import type { AuditLog } from "../store/audit-log.ts";
import type { DeadLetterStore } from "../store/dead-letter-store.ts";
import type { BatchTracer } from "../telemetry/batch-trace.ts";
import type { HealthBoard } from "./health/board.ts";
import { HealthWatches } from "./health/watches.ts";
import { MetricsWatches } from "./metrics-watches.ts";
import type { Statuses } from "./status.ts";

/** A batch on its way in. */
export interface Incoming {
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
  /** Whether it may share a crossing: it was checked to be a valid batch, and it is small. */
  readonly mergeable: boolean;
  /** The batch's number in its stream; 0 outside of streams. */
  readonly sequence: number;
  /** The name of its stream, or empty. */
  readonly streamId: string;
  /** What its call is known by when it is sent again, or empty. */
  readonly callId: string;
  /** The name of the principal that sent it. */
  readonly sender: string;
}

/**
 * The largest message that a door reads: beyond our own limits, which answer with a reason, by the room of a whole
 * message more. Doors take it at the start, and a batch may become as large as a guest's memory while they are open.
 */
export function maxMessageBytes({ maxModuleBytes, maxGuestMemoryBytes }: Readonly<Limits>): number {
  return Math.max(maxModuleBytes, maxGuestMemoryBytes) * 2;
}

/** Whether the server takes new work. */
export type EngineState = { readonly t: "serving" } | { readonly t: "draining" };

/** The parts behind the doors. */
export class Engine {
  readonly limits: Readonly<Limits>;
  readonly clock: Clock;
  readonly registry: Registry;
  readonly admission: Admission;
  readonly tracer: BatchTracer;
  /** Records that pipelines gave up on. */
  readonly deadLetters: DeadLetterStore;
  /** Who changed what. */
  readonly audit: AuditLog;
  /** The configuration, which may change. */
  readonly config: LiveConfig;
  /** Maps errors for both doors. */
  readonly statuses: Statuses;
  /** Decides who may call; undefined where everybody may. */
  readonly gate: Gate | undefined;
  /** What serves. */
  readonly health: HealthBoard;
  /** Those who watch that. */
  readonly healthWatches: HealthWatches;
  /** Those who watch the figures. */
  readonly metricsWatches: MetricsWatches;
  state: EngineState = { t: "serving" };
  /** The streams that are open, through whichever door. */
  readonly streams = new Set<{ drain(): void; checkCaller(): void }>();
  readonly #places: Workplaces;
  readonly #snapshot: (pipeline: string) => MetricsSnapshot;
  readonly #draining = new AbortController();

  constructor(parts: {
    limits: Readonly<Limits>;
    clock: Clock;
    registry: Registry;
    admission: Admission;
    tracer: BatchTracer;
    deadLetters: DeadLetterStore;
    audit: AuditLog;
    config: LiveConfig;
    statuses: Statuses;
    gate: Gate | undefined;
    health: HealthBoard;
    places: Workplaces;
    snapshot: (pipeline: string) => MetricsSnapshot;
  }) {
    this.limits = parts.limits;
    this.clock = parts.clock;
    this.registry = parts.registry;
    this.admission = parts.admission;
    this.tracer = parts.tracer;
    this.deadLetters = parts.deadLetters;
    this.audit = parts.audit;
    this.config = parts.config;
    this.statuses = parts.statuses;
    this.gate = parts.gate;
    this.health = parts.health;
    this.healthWatches = new HealthWatches(parts.health, parts.limits, parts.clock);
    this.#places = parts.places;
    this.#snapshot = parts.snapshot;
    this.metricsWatches = new MetricsWatches(
      parts.limits,
      parts.clock,
      this.#draining.signal,
      parts.snapshot,
    );
  }

  /** All figures at this moment, or one pipeline's. */
  snapshot(pipeline: string): MetricsSnapshot {
    return this.#snapshot(pipeline);
  }

  /** Aborted when the server takes no more work: what only watches ends then. */
  get draining(): AbortSignal {
    return this.#draining.signal;
  }

  /** Takes no more work, and says so to every stream. */
  drain(): void {
    this.state = { t: "draining" };
    // First of all, so that nobody sends calls here any more.
    this.health.drain();
    this.#draining.abort();
    for (const stream of [...this.streams]) stream.drain();
  }

  /** @throws LeatError DRAINING */
  checkServing(): void {
    if (this.state.t === "draining") throw leatError("DRAINING");
  }

  /** @throws LeatError PIPELINE_FORBIDDEN, INLINE_CHAIN_FORBIDDEN */
  checkTarget(principal: Principal, target: Target | undefined): void {
    const chosen = target?.target;
    // What names nothing is refused as such.
    if (this.gate === undefined || chosen?.case === undefined) return;
    this.gate.checkTarget(principal, chosen.case === "pipeline" ? chosen.value : undefined);
  }

  /**
   * @param maxBatchBytes - the limit: that in force, unless a stream was told another
   * @throws LeatError BATCH_TOO_LARGE
   */
  checkBatchSize(bytes: number, maxBatchBytes = this.limits.maxBatchBytes): void {
    if (bytes <= maxBatchBytes) return;
    throw leatError("BATCH_TOO_LARGE", { limit: "maxBatchBytes", value: maxBatchBytes, measured: bytes });
  }

  /** A call for a pipeline comes: workers do not wait for the end of a turn that many calls make long. */
  keepUp({ spec }: ServingPipeline, nowMs: number): void {
    this.#places.keepUp(spec, nowMs);
  }

  /** How long a batch that comes now would wait for a worker, in milliseconds. 0 where that is not known. */
  expectedWaitMs({ backlog, spec }: ServingPipeline, nowMs: number): number {
    return this.#places.startsNow(spec) ? 0 : backlog.expectedMs(nowMs);
  }

  /**
   * Sends a batch on its way that was admitted.
   *
   * @param kind - whether it came as a call of its own or in a stream
   * @param owner - is told what became of it, and releases its admission then
   */
  submit(
    kind: "unary" | "batch",
    owner: BatchOwner,
    pipeline: ServingPipeline,
    batch: Incoming,
    traceparent: string | undefined,
    tracestate: string | undefined,
  ): BatchJob {
    const watched = pipeline.shadow === undefined ? owner : pipeline.shadow.watch(owner);
    const job = new BatchJob(watched, pipeline, batch, this.clock.nowMs());
    job.trace = this.tracer.start(kind, pipeline.spec.name, traceparent, tracestate);
    this.#places.submit(job);
    return job;
  }
}
