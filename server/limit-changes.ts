/**
 * What a change of each limit takes while the server runs. A limit that is not in the table does not compile.
 *
 * @module
 */

import type { Limits } from "./limits.ts";

/**
 * `restart`: a part takes its size, or V8 its flag, at the start. `live`: the main thread reads it whenever it needs it.
 * `batch`: batches run under it, so it comes with their pipeline, and holds for those that arrive after the change.
 */
export type LimitChange = "live" | "batch" | "restart";

/** Each limit with what its change takes. */
export const limitChanges = {
  maxModuleBytes: "restart",
  maxFunctionBodyBytes: "live",
  maxFunctions: "live",
  maxLocals: "live",
  maxTypes: "live",
  maxImports: "live",
  maxExports: "live",
  maxTables: "live",
  maxTableEntries: "restart",
  maxGlobals: "live",
  maxTags: "live",
  maxTagParameters: "live",
  maxCustomSections: "live",
  maxSymbolBytes: "live",
  maxDataSegments: "live",
  maxElementSegments: "live",
  maxGuestMemoryBytes: "restart",
  maxBatchBytes: "live",
  maxBatchRecords: "batch",
  maxResultBytes: "batch",
  maxResultRecords: "batch",
  maxConfigBytes: "live",
  maxConfigSchemaBytes: "live",
  maxConfigSchemaDepth: "live",
  maxConfigCheckMs: "live",
  maxConditionDepth: "live",
  maxConditionTerms: "live",
  maxConditionBytes: "live",
  maxStages: "restart",
  maxPipelines: "live",
  maxInlinePipelines: "live",
  maxModules: "live",
  maxModuleVersions: "live",
  maxSignatures: "live",
  maxSignatureBytes: "live",
  maxSigningKeys: "restart",
  maxActivationHistory: "live",
  maxPipelineRevisions: "live",
  maxShadowBatches: "live",
  maxShadowBytes: "live",
  maxShadowSamples: "live",
  maxCompiledModuleBytes: "live",
  maxStreamWindow: "live",
  maxStreams: "live",
  maxStreamResets: "restart",
  maxStreamResetsPerSecond: "restart",
  maxConnections: "restart",
  maxCallsPerConnection: "restart",
  maxMetadataBytes: "restart",
  maxIdleConnectionMs: "restart",
  maxRequestHeadMs: "restart",
  maxRequestMs: "restart",
  maxAdmittedBatches: "live",
  maxQueueDelayMs: "live",
  maxAdmittedBytes: "live",
  maxHeldResultBytes: "live",
  maxBatchExecutionMs: "batch",
  maxRecordExecutionMs: "batch",
  maxCancelGraceMs: "batch",
  maxCompileMs: "live",
  maxInitMs: "batch",
  maxFaultsPerBatch: "batch",
  maxInstancesPerWorker: "live",
  maxInstanceBytesPerWorker: "live",
  maxInstanceHeapBytesPerWorker: "live",
  maxWorkers: "live",
  maxExtraWorkers: "live",
  maxStallMs: "live",
  maxWallTimeFactor: "batch",
  maxWorkerStops: "live",
  workerStopWindowMs: "live",
  laneOffences: "live",
  laneWindow: "live",
  laneCpuFactor: "live",
  laneMs: "live",
  maxLaneMs: "live",
  maxSpareWorkers: "live",
  maxIsolatedPipelines: "live",
  isolatedIdleMs: "live",
  maxWorkerQueue: "restart",
  streamWindowBytes: "restart",
  slotInputBytes: "restart",
  slotOutputBytes: "restart",
  maxCoalescedCalls: "restart",
  maxCoalescedBytes: "live",
  maxCoalescedMs: "live",
  maxFailureMessages: "batch",
  maxFailureTextBytes: "batch",
  maxFailureEventsPerTrace: "batch",
  maxLogLineBytes: "batch",
  maxWaitingLogBytes: "restart",
  maxLogLinesPerSecond: "live",
  maxStageLogLinesPerSecond: "live",
  droppedLinesIntervalMs: "restart",
  maxFormerStages: "live",
  maxFailureCodesPerStage: "live",
  maxCountersPerStage: "live",
  maxCounterNameBytes: "batch",
  maxDeadLetterAgeMs: "live",
  maxDeadLetterBytes: "live",
  maxDeadLetterQueueBytes: "live",
  maxDeadLetterWriteBytes: "live",
  maxReplaysInFlight: "live",
  maxStoreLockMs: "restart",
  maxTelemetryFlushMs: "restart",
  maxRetryAttempts: "batch",
  maxRetryBackoffMs: "batch",
  maxBreakerWindow: "batch",
  maxRestarts: "restart",
  restartWindowMs: "restart",
  maxPrincipals: "live",
  maxTokenBytes: "live",
  maxRememberedTokens: "live",
  maxTokenRememberedMs: "live",
  maxClockSkewMs: "live",
  maxKeySetBytes: "live",
  maxKeyFetchMs: "restart",
  maxRefusalLinesPerSecond: "restart",
  maxAuditEntries: "live",
  maxAuditEntriesInMemory: "live",
  maxAuditAgeDays: "live",
  maxAuditRefusalsPerMinute: "live",
  maxAuditWaiting: "live",
  maxHealthWatches: "live",
  maxMetricsWatches: "live",
  maxMetricsAgeMs: "live",
  maxHealthReasons: "live",
  maxWorkerlessMs: "live",
  maxLoopTurnMs: "live",
  accessCheckMs: "restart",
  maxDrainMs: "live",
} as const satisfies Readonly<Record<keyof Limits, LimitChange>>;

/** The limits that batches run under. */
export type BatchLimit = {
  [Name in keyof Limits]: (typeof limitChanges)[Name] extends "batch" ? Name : never;
}[keyof Limits];

/** What a pipeline brings to the worker, and keeps for as long as batches run through it. */
export type BatchLimits = Readonly<Pick<Limits, BatchLimit>>;

const batchLimits = Object.entries(limitChanges)
  .filter(([, change]) => change === "batch")
  .map(([name]) => name as BatchLimit);

/** Those of the limits that batches run under, as they are now. */
export function batchLimitsOf(limits: BatchLimits): BatchLimits {
  return Object.freeze(Object.fromEntries(batchLimits.map((name) => [name, limits[name]])) as BatchLimits);
}

/** Whether batches run under the same limits. */
export function sameForBatches(one: BatchLimits, other: BatchLimits): boolean {
  return batchLimits.every((name) => one[name] === other[name]);
}

/**
 * Puts other limits in force: changes the object that the whole main thread holds, in one step. Its values are for what
 * begins now; what has begun keeps its own, which came with its pipeline.
 *
 * @param inForce - an object of this process's own, not one that `resolveLimits` froze
 */
export function replaceLimits(inForce: Readonly<Limits>, next: Readonly<Limits>): void {
  Object.assign(inForce, next);
}
