/**
 * Every bound in the server, with its default. Nothing else in the server states one.
 *
 * All are upper bounds unless the name says otherwise. An operator overrides them in
 * `leat.yaml` under `limits`; a pipeline's stage may only lower the three execution limits.
 *
 * @module
 */

import { defaultLimits } from "./limits-defaults.ts";
import { assertLimitsFit } from "./limits-fit.ts";

export { defaultLimits } from "./limits-defaults.ts";
export { wasmPageBytes } from "./limits-fit.ts";

/** The bounds under which a server runs. Sizes are in bytes and times in milliseconds, as the names say. */
export interface Limits {
  /** One module's binary. Default 64 MiB. */
  maxModuleBytes: number;
  /** One function body. Default 256 KiB: V8's optimiser takes seconds beyond; the largest body met in practice is 172 KB. */
  maxFunctionBodyBytes: number;
  /** Functions a module defines. Default 50,000. */
  maxFunctions: number;
  /** Locals one function declares. Default 10,000. */
  maxLocals: number;
  /** Types a module declares. Default 10,000. */
  maxTypes: number;
  /** Imports of a module. Default 1,000. */
  maxImports: number;
  /** Exports of a module. Default 1,000. */
  maxExports: number;
  /** Tables of a module. Default 4. */
  maxTables: number;
  /** Entries of one table; a larger declared maximum is lowered to this. Also bounds the entries of all element segments together. Default 100,000. */
  maxTableEntries: number;
  /** Globals of a module. Default 10,000. */
  maxGlobals: number;
  /** Exception tags of a module. Default 100. */
  maxTags: number;
  /**
   * Values one exception carries. Default 8: a guest can hold as many exceptions as its stack is
   * deep (71,000), on the heap of the worker's JavaScript: 29 MB with 8 values, out of memory with 100.
   */
  maxTagParameters: number;
  /** Custom sections of a module. Default 1,000. */
  maxCustomSections: number;
  /** The name of an import or an export. Default 1 KiB. */
  maxSymbolBytes: number;
  /** Data segments of a module. Default 100,000, as in V8. */
  maxDataSegments: number;
  /** Element segments of a module. Default 10,000. */
  maxElementSegments: number;
  /** A guest's linear memory; a larger declared maximum is lowered to this. Default 64 MiB. */
  maxGuestMemoryBytes: number;
  /** One encoded RecordBatch in a request. Default 4 MiB. */
  maxBatchBytes: number;
  /** Records in one batch. Default 10,000. */
  maxBatchRecords: number;
  /** One encoded result that a stage returns. Default 16 MiB. */
  maxResultBytes: number;
  /** Records that one stage may return for one batch; those of a batch and its failures may be twice as many. Default 100,000. */
  maxResultRecords: number;
  /** A module's configuration for one stage, as JSON. Default 64 KiB. */
  maxConfigBytes: number;
  /** The schema of a module's configuration. Default 16 KiB. */
  maxConfigSchemaBytes: number;
  /** How deep the JSON of such a schema nests. Default 32. */
  maxConfigSchemaDepth: number;
  /** How long it takes at most to hold configurations against schemas. Default 1,000 ms. */
  maxConfigCheckMs: number;
  /** How deep the conditions of one stage nest. Default 8. */
  maxConditionDepth: number;
  /** Conditions of one stage, each text of an `in` counted. Default 64: that many may be asked of each header of each record. */
  maxConditionTerms: number;
  /** Bytes of the texts in the conditions of one stage, together. Default 4 KiB. */
  maxConditionBytes: number;
  /** Stages of a pipeline. Default 16. */
  maxStages: number;
  /** Stored pipelines. Default 1,000. */
  maxPipelines: number;
  /** Pipelines made of chains that calls bring along; the one unused for longest gives way. Default 256. */
  maxInlinePipelines: number;
  /** Stored module versions. Default 10,000. */
  maxModules: number;
  /** Versions that were ever loaded, unloaded ones too: what they are bound to is remembered. Default 100,000. */
  maxModuleVersions: number;
  /** Signatures that one module may carry: each is tried with every key that it may mean. Default 16. */
  maxSignatures: number;
  /** What a module's signatures may take, in it or beside it. Default 16 KiB. */
  maxSignatureBytes: number;
  /** Keys in the list of those whose signatures count. Default 64. */
  maxSigningKeys: number;
  /** Activations of one module name that are remembered. Default 100. */
  maxActivationHistory: number;
  /** Revisions of one pipeline that are kept. Default 100. */
  maxPipelineRevisions: number;
  /** Batches of shadows, over all pipelines, that are under way; further ones are left out. Default 8. */
  maxShadowBatches: number;
  /** Bytes of those batches and of what they are compared with. Default 16 MiB. */
  maxShadowBytes: number;
  /** Differences of one shadow that are kept as samples, with up to 1 KiB of either side. Default 10. */
  maxShadowSamples: number;
  /** Source bytes of modules kept compiled; the one unused for longest gives way. Default 256 MiB. */
  maxCompiledModuleBytes: number;
  /** Batches of one stream that may be unanswered. Default 32. */
  maxStreamWindow: number;
  /** Streams open at once. Default 10,000. */
  maxStreams: number;
  /**
   * Streams of HTTP/2 that a client may reset on one connection at once, as by cancelling calls; with more the connection is ended. They
   * come back at `maxStreamResetsPerSecond`. Default 10,000.
   */
  maxStreamResets: number;
  /** Resets a second that one connection may go on with. Default 1,000. */
  maxStreamResetsPerSecond: number;
  /** Connections of one port; further ones are closed at once. Default 10,000. */
  maxConnections: number;
  /** Calls open at once on one connection; clients of HTTP/2 hold further ones back. Default 10,000. */
  maxCallsPerConnection: number;
  /** The metadata of one call, or the headers of one request. Default 64 KiB. */
  maxMetadataBytes: number;
  /** How long a connection may have no call before it is closed; clients connect anew when they need one. Default 1 h. */
  maxIdleConnectionMs: number;
  /** How long a connection may take for its handshake and first bytes, and an HTTP/1.1 request for its headers. Default 10 s. */
  maxRequestHeadMs: number;
  /** How long an HTTP/1.1 request may take to come in. Default 5 min. */
  maxRequestMs: number;
  /** Batches admitted and not yet answered, over all calls. Default 4,096. */
  maxAdmittedBatches: number;
  /**
   * How long a unary call may be expected to wait before it runs, from what waits for its pipeline and how quickly that is answered; or half of
   * the time to its deadline, if that is less. A call that would wait longer is refused at once. Streams are held instead. Default 1,000 ms.
   */
  maxQueueDelayMs: number;
  /** Bytes of those batches. Default 256 MiB. */
  maxAdmittedBytes: number;
  /**
   * Bytes of results, over all batches, that are held while records of theirs wait to be tried again. Where there is no more room, a
   * batch is answered at once, and what failed in it has failed for good. Default 128 MiB.
   */
  maxHeldResultBytes: number;
  /** One batch's run through one stage. Default 5,000 ms. */
  maxBatchExecutionMs: number;
  /** One record's run through one stage, where the guest says which record it works on. Default 1,000 ms. */
  maxRecordExecutionMs: number;
  /** How long a guest may go on after all who wait for it have cancelled. Default 100 ms. */
  maxCancelGraceMs: number;
  /** One module's compilation. Default 30 s. */
  maxCompileMs: number;
  /** One module's instantiation with `_initialize` and `leat_init`. Default 5,000 ms. */
  maxInitMs: number;
  /** Faults (traps, timeouts) in one batch at one stage before the rest runs record by record. Default 3. */
  maxFaultsPerBatch: number;
  /** Live instances in one worker; the one unused for longest gives way. Default 64. */
  maxInstancesPerWorker: number;
  /**
   * Memory of the live instances in one worker; the one unused for longest gives way. What one grows by during a batch counts after it, so a
   * worker may have `maxGuestMemoryBytes` more for as long. Default 512 MiB.
   */
  maxInstanceBytesPerWorker: number;
  /**
   * What the tables, functions and segments of the live instances in one worker may take of its JavaScript heap, which has 256 MiB; the one unused
   * for longest gives way. It is counted by what each module declares, and a module of which one instance takes more is refused. Default 128 MiB.
   */
  maxInstanceHeapBytesPerWorker: number;
  /** Workers that run batches. Default: cores - 1, at least 1. */
  maxWorkers: number;
  /** Further workers that may run while others are held up by a long batch, the one for confined modules among them; the cores are shared then. Default 2. */
  maxExtraWorkers: number;
  /** How long one call into a guest may run before what waits behind it is given to another worker. Default 20 ms. */
  maxStallMs: number;
  /**
   * How many times its limit a record, a batch or a start may take by the clock while its thread waits for a processor: it is stopped at its
   * limit only if the thread had a processor for half of it, where the system tells that (Linux). 1 means the clock only. Default 4.
   */
  maxWallTimeFactor: number;
  /**
   * How many batches may bring workers down in a module within `workerStopWindowMs`, by running too long, by its memory or by a crash, before it is
   * put in quarantine. A breaker that opens at its default holds it up long before, but only for seconds. 0 means never. Default 30.
   */
  maxWorkerStops: number;
  /** How far back stops of workers count against a module. Default 60,000 ms. */
  workerStopWindowMs: number;
  /**
   * How many of the last `laneWindow` batches of a module version must bring a worker down, fault while others wait, or run long while others wait
   * (above `maxStallMs`, and `laneCpuFactor` times the processor time of other modules' batches), before it is confined: all who are confined have one
   * batch under way between them at a time, in a worker of their own. 0 means never. Default 3.
   */
  laneOffences: number;
  /** Batches of a module version that are looked back on for that. Default 10. */
  laneWindow: number;
  /** How many times the processor time of other modules' batches a batch must take to count as long. Default 20. */
  laneCpuFactor: number;
  /** How long a module is confined after its last offence; twice as long each time that it comes back. Default 10 s. */
  laneMs: number;
  /** The longest of these times, and how long a module must stay away for the next to be the shortest again. Default 300 s. */
  maxLaneMs: number;
  /** Workers kept ready to take the place of one that is stopped. Default 1. */
  maxSpareWorkers: number;
  /** Pipelines that have a process of their own at once; one that has nothing to do gives way to another. Default 16. */
  maxIsolatedPipelines: number;
  /** How long a process is kept whose pipeline is gone. Default 60,000 ms. */
  isolatedIdleMs: number;
  /** Batches handed to a worker ahead of the one it runs. Default 16. */
  maxWorkerQueue: number;
  /** HTTP/2's flow-control window of each stream on the gRPC port, and of each connection: what a producer may send ahead of what the server has read. Default 1 MiB. */
  streamWindowBytes: number;
  /** The input of one shared-memory slot; a larger batch goes by transfer. Default 128 KiB. */
  slotInputBytes: number;
  /** The output of one shared-memory slot; a larger result goes by transfer. Default 256 KiB. */
  slotOutputBytes: number;
  /** Small calls merged into one crossing. Default 256. */
  maxCoalescedCalls: number;
  /** Bytes of small calls merged into one crossing. Default 64 KiB. */
  maxCoalescedBytes: number;
  /** How long a crossing of small calls is to run, by what such calls of its pipeline took before; one call may always. Default 2 ms. */
  maxCoalescedMs: number;
  /** Failures of one module's records, per batch, that keep their message; the rest keep their code. Default 1,000. */
  maxFailureMessages: number;
  /** A failure's message or code from a guest; longer ones are cut. Default 1 KiB. */
  maxFailureTextBytes: number;
  /** Failed records of one batch that become events of its trace; the rest are counted there. Default 32. */
  maxFailureEventsPerTrace: number;
  /** One log line from a guest; longer ones are cut. Default 1 KiB. */
  maxLogLineBytes: number;
  /** Bytes of the server's own log that wait for a stderr nobody reads; further lines are dropped. Default 1 MiB. */
  maxWaitingLogBytes: number;
  /** Log lines a second from one worker; further ones are counted and dropped. Default 100. */
  maxLogLinesPerSecond: number;
  /** Those of one stage: the rest is left to the lines of others. Default 50. */
  maxStageLogLinesPerSecond: number;
  /** How often the log tells how many lines of which modules were dropped, while any are. Default 10 s. */
  droppedLinesIntervalMs: number;
  /** Module versions that served before and whose figures a pipeline keeps. Default 16. */
  maxFormerStages: number;
  /** Failure codes of one stage that are counted apart; the rest count as `other`. Default 64. */
  maxFailureCodesPerStage: number;
  /** Custom counters of one stage. Default 64. */
  maxCountersPerStage: number;
  /** The name of a custom counter. Default 64 bytes. */
  maxCounterNameBytes: number;
  /** A dead letter's age; older ones are removed. Default 7 days. */
  maxDeadLetterAgeMs: number;
  /** Dead letters in all, with their indexes; the oldest give way. The file may be larger by what was removed of late. Default 1 GiB. */
  maxDeadLetterBytes: number;
  /** Dead letters that wait to be written. Default 64 MiB. */
  maxDeadLetterQueueBytes: number;
  /** Dead letters written in one transaction, unless one write alone has more. Default 4 MiB. */
  maxDeadLetterWriteBytes: number;
  /** Dead letters of one replay that are under way at once. Default 16. */
  maxReplaysInFlight: number;
  /** How long the store waits for another process that has its file locked. Default 5,000 ms. */
  maxStoreLockMs: number;
  /** How long the end of the server waits for a collector to take the last spans and metrics. Default 5,000 ms. */
  maxTelemetryFlushMs: number;
  /** Tries of one record at one stage. Default 10. */
  maxRetryAttempts: number;
  /** One wait before a retry. Default 60 s. */
  maxRetryBackoffMs: number;
  /** Calls that a breaker looks back on. Default 1,000. */
  maxBreakerWindow: number;
  /** Restarts of a server process that ends by itself, within `restartWindowMs`, before `leat serve` gives up. Default 20. */
  maxRestarts: number;
  /** The time over which restarts are counted. Default 60 s. */
  restartWindowMs: number;
  /** Principals in the access file. Default 1,000. */
  maxPrincipals: number;
  /** A caller's `authorization` header; a longer one is refused unread. Default 8 KiB. */
  maxTokenBytes: number;
  /** Tokens whose check is remembered; the one unused for longest gives way. Default 10,000. */
  maxRememberedTokens: number;
  /** How long a token's check is remembered, unless it expires before. Default 60 s. */
  maxTokenRememberedMs: number;
  /** How long a signed token counts as valid before and after its time, since clocks differ. Default 30 s. */
  maxClockSkewMs: number;
  /** The issuer's key set, where it is fetched. Default 256 KiB. */
  maxKeySetBytes: number;
  /** One fetch of the issuer's key set. Default 5,000 ms. */
  maxKeyFetchMs: number;
  /** Lines in the log a second about refused calls, and about signatures of modules that are loaded; further ones are counted. Default 10. */
  maxRefusalLinesPerSecond: number;
  /** Entries of the audit log; the oldest give way. Default 1,000,000, which take about 400 MB. */
  maxAuditEntries: number;
  /** The same for a server without a data folder, which keeps them in memory. Default 10,000. */
  maxAuditEntriesInMemory: number;
  /** An audit entry's age in days; older ones are removed. Default 365. */
  maxAuditAgeDays: number;
  /** Audit entries a minute about calls that a caller's role did not allow; further ones are counted. Default 60. */
  maxAuditRefusalsPerMinute: number;
  /** Audit entries of changes already made that wait to be written; the oldest give way. Default 1,000. */
  maxAuditWaiting: number;
  /** Calls of Health/Watch that may be open at once. Default 10,000. */
  maxHealthWatches: number;
  /** Calls of WatchMetrics that may be open at once. Default 16. */
  maxMetricsWatches: number;
  /** How old the text at `/metrics` may be: those who ask within that time get the same. Default 1,000 ms. */
  maxMetricsAgeMs: number;
  /** Remarks on `/readyz`, and pipelines that one of them names. Default 100. */
  maxHealthReasons: number;
  /** How long the server may be without a worker thread that is ready before it says that it does not serve. Default 5,000. */
  maxWorkerlessMs: number;
  /** How long a turn of the main thread's event loop may take before `/healthz` says that it lags. Default 100. */
  maxLoopTurnMs: number;
  /** How often the files of certificates, access and signing keys are looked at for changes, and streams for credentials that expired. Default 2,000 ms. */
  accessCheckMs: number;
  /** How long a drain waits for work in flight. Default 30 s. */
  maxDrainMs: number;
}

/**
 * Completes the limits and asserts that they fit together.
 *
 * @param overrides - the limits that differ from the defaults
 */
export function resolveLimits(overrides: Partial<Limits> = {}): Readonly<Limits> {
  const limits = { ...defaultLimits, ...overrides };
  assertLimitsFit(limits);
  return Object.freeze(limits);
}
