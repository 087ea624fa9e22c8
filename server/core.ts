/**
 * The composition root's inner half: makes the parts behind the doors and wires them.
 *
 * @module
 */

import type { AccessControl } from "./access/access-control.ts";
import { Reload } from "./access/reload.ts";
import { Admission } from "./admission/admission.ts";
import type { Isolation } from "./bridge/pipeline-spec.ts";
import type { Clock } from "./clock.ts";
import type { LiveConfig } from "./config/live-config.ts";
import { type DataPath, makeDataPath } from "./data-path.ts";
import { replaceLimits } from "./limit-changes.ts";
import type { Limits } from "./limits.ts";
import type { Breakers } from "./outcome/breakers.ts";
import { noteKeys, noteTaken } from "./registry/audited-events.ts";
import type { ModuleEntry } from "./registry/module-catalog.ts";
import type { Registry } from "./registry/registry.ts";
import { tellForbidden } from "./rpc/audited-refusals.ts";
import { Engine } from "./rpc/engine.ts";
import { HealthBoard } from "./rpc/health/board.ts";
import { Statuses } from "./rpc/status.ts";
import type { Workplaces } from "./scheduling/workplaces.ts";
import type { SignaturePolicy } from "./signing/signature-policy.ts";
import type { AuditLog } from "./store/audit-log.ts";
import type { DeadLetterSink, DeadLetterStore } from "./store/dead-letter-store.ts";
import type { ModuleStore } from "./store/module-store.ts";
import type { RegistryStore } from "./store/registry-store.ts";
import { LedgerRows } from "./supervision/ledger-rows.ts";
import { Quarantine } from "./supervision/quarantine.ts";
import { BatchTracer } from "./telemetry/batch-trace.ts";
import type { Logger } from "./telemetry/logger.ts";
import { createMetrics } from "./telemetry/metrics.ts";
import { takeSnapshot } from "./telemetry/snapshot.ts";
import { type ConfigStats, Stats } from "./telemetry/stats.ts";
import type { Telemetry } from "./telemetry/tracing.ts";
import { serverVersion } from "./version.ts";

/** What the parts are made from. */
export interface CoreOptions {
  /** Those in force: an object of the server's own. */
  readonly limits: Readonly<Limits>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly telemetry: Telemetry;
  /** Makes spans in place of the telemetry's. */
  readonly tracer: ConstructorParameters<typeof BatchTracer>[0];
  readonly moduleStore: ModuleStore;
  readonly registryStore: RegistryStore;
  /** Who changed what. Closed with the rest. */
  readonly audit: AuditLog;
  /** Keeps dead letters, shows them and gives them back. Closed with the rest. */
  readonly deadLetters: DeadLetterStore;
  /** Takes dead letters in its place. */
  readonly deadLetterSink: DeadLetterSink | undefined;
  readonly supervision: SupervisionFiles | undefined;
  /** Where pipelines run that say nothing of it. */
  readonly isolation: Isolation;
  /** Whether the server serves only while its store can be used. */
  readonly needsStore: boolean;
  /** Makes the live configuration, which counts its changes. */
  readonly config: (stats: ConfigStats) => LiveConfig;
  /** Who may call. Closed with the rest. */
  readonly access: AccessControl;
  /** What is asked of modules' signatures. */
  readonly policy: SignaturePolicy;
}

/** The files through which a server process and its supervisor talk beyond the process's death. */
export interface SupervisionFiles {
  /** Where the process says what it runs. Made anew at each start. */
  readonly ledger: string;
  /** The book of modules in quarantine. */
  readonly quarantine: string;
}

/** The parts that the doors and the life cycle use. */
export interface Core {
  readonly limits: Readonly<Limits>;
  readonly logger: Logger;
  readonly stats: Stats;
  readonly places: Workplaces;
  readonly registry: Registry;
  readonly engine: Engine;
  /** What is asked of modules' signatures. */
  readonly policy: SignaturePolicy;
  /** All figures in Prometheus's text format, in pieces. */
  prometheusText(): Promise<readonly Buffer[]>;
  /** Looks at the files of signing keys at once. Resolves when what has changed is taken or refused. */
  checkSigningKeys(): Promise<void>;
  /** Puts other limits in force, at once and all together. @throws LeatError LIMITS_UNFIT; nothing has changed then */
  changeLimits(next: Readonly<Limits>): Promise<void>;
  /** Ends workers and telemetry. */
  close(): Promise<void>;
}

/** Makes and wires the parts. Nothing runs yet: start the pool. */
export function makeCore(options: CoreOptions): Core {
  const { limits, clock, logger, telemetry } = options;
  const stats = new Stats(clock.nowMs(), limits);
  watchCallers(options, stats);
  const tracer = new BatchTracer(options.tracer ?? telemetry.tracer, clock, limits);
  const quarantine = openQuarantine(options);
  const ledger = options.supervision && new LedgerRows(options.supervision.ledger, limits.maxStages);
  const { places, cache, registry, breakers } = makeDataPath({
    ...options,
    deadLetters: options.deadLetterSink ?? options.deadLetters,
    stats,
    tracer,
    quarantine,
    ledger,
    health: { changed: () => health.changed(), workerStopped: () => health.workerStopped() },
  });
  quarantine.onHeld = (digest) => registry.rollouts.held(digest);
  const health: HealthBoard = makeHealth(options, { registry, breakers, quarantine, stats });
  readFigures(stats, { registry, breakers }, options);
  const admission = new Admission(limits, stats.admission);
  const refresh = (): void => refreshFigures(stats, places, cache);
  const metrics = createMetrics(stats, { serviceVersion: serverVersion, limits, clock, telemetry, refresh });
  const engine = new Engine({
    limits,
    clock,
    registry,
    admission,
    tracer,
    deadLetters: options.deadLetters,
    audit: options.audit,
    config: options.config(stats.config),
    gate: options.access.gate,
    health,
    statuses: new Statuses((err) => logger.error({ err }, "an internal error was answered")),
    places,
    snapshot: (pipeline) => {
      refresh();
      return takeSnapshot(stats, { pipeline, clock });
    },
  });
  const keys = watchKeys(options, registry);
  const stopChecks = options.access.gate && checkCallers(engine, limits.accessCheckMs);
  return {
    limits,
    logger,
    stats,
    places,
    registry,
    engine,
    policy: options.policy,
    prometheusText: metrics.prometheusText,
    checkSigningKeys: () => keys.check(),
    changeLimits: (next) => registry.changeLimits(next, () => putInForce(limits, next, [places, admission])),
    close: async () => {
      stopChecks?.();
      keys.close();
      options.access.close();
      await places.close();
      await options.audit.close();
      await options.deadLetters.close();
      ledger?.close();
      metrics.close();
      await telemetry.shutdown();
    },
  };
}

function openQuarantine({ supervision, clock, logger }: CoreOptions): Quarantine {
  const quarantine = new Quarantine(supervision?.quarantine, clock);
  if (quarantine.problem !== undefined)
    logger.warn({ problem: quarantine.problem }, "the quarantine could not be read, and is empty");
  return quarantine;
}

/** Lets the figures show what the registry, the breakers and the store know. */
function readFigures(
  stats: Stats,
  { registry, breakers }: Pick<DataPath, "registry" | "breakers">,
  { deadLetters, policy }: Pick<CoreOptions, "deadLetters" | "policy">,
): void {
  stats.quarantined = () =>
    registry.quarantined().map(({ held, entry }) => ({ digest: held.digest, module: entry?.name ?? "" }));
  stats.breaker = (digest) => breakers.figuresOf(digest);
  stats.rollouts = () => registry.rollouts.figures();
  stats.signatures.refused = () => registry.signatures.refusedCount;
  stats.signatures.expiring = () =>
    policy.keys.flatMap(({ name, notAfterMs }) => (notAfterMs === undefined ? [] : [{ name, notAfterMs }]));
  stats.deadLetters = () => ({ ...deadLetters.kept, failed: deadLetters.status.t === "failed" });
}

/** Counts who is let in and what is audited, and has refusals audited. */
function watchCallers({ access, audit }: CoreOptions, stats: Stats): void {
  stats.access = access.stats;
  stats.audit = audit.stats;
  access.onForbidden = tellForbidden(audit);
  access.onTaken = (taken) => noteTaken(audit, taken, taken.what);
}

/** Makes what probes are told from, and has it told of what changes. */
function makeHealth(
  { limits, clock, deadLetters, needsStore }: CoreOptions,
  parts: {
    readonly registry: Registry;
    readonly breakers: Breakers;
    readonly quarantine: Quarantine;
    readonly stats: Stats;
  },
): HealthBoard {
  const { registry, breakers, quarantine, stats } = parts;
  const health = new HealthBoard({
    registry,
    limits,
    clock,
    needsStore,
    readyWorkers: () => stats.pool.workers,
    refusedUntilMs: (digest) => breakers.refusedUntilMs(digest),
    confined: (digest) => stats.confined().find((each) => each.digest === digest),
    storeStatus: () => deadLetters.status,
  });
  deadLetters.onStatus = () => health.changed();
  quarantine.onChange = () => health.changed();
  return health;
}

/** Brings the figures up to date that change by themselves. */
function refreshFigures(stats: Stats, places: DataPath["places"], cache: DataPath["cache"]): void {
  places.refreshStats();
  Object.assign(stats.moduleCache, cache.stats());
}

/** Changes the limits that all parts hold, and tells those that have something to do about it. */
function putInForce(
  limits: Readonly<Limits>,
  next: Readonly<Limits>,
  concerned: readonly { limitsChanged(): void }[],
): void {
  replaceLimits(limits, next);
  for (const part of concerned) part.limitsChanged();
}

/** Ends streams of callers whose credentials have expired, also where nothing comes. @returns a function that stops that */
function checkCallers(engine: Engine, intervalMs: number): () => void {
  const timer = setInterval(() => {
    for (const stream of [...engine.streams]) stream.checkCaller();
  }, intervalMs).unref();
  return () => clearInterval(timer);
}

/** Takes the keys anew when their files change, and judges the modules that are loaded by them. */
function watchKeys({ policy, limits, logger, audit }: CoreOptions, registry: Registry): Reload {
  let refused: readonly ModuleEntry[] = [];
  return new Reload({
    what: "the list of signing keys",
    files: () => policy.files,
    take: async () => {
      policy.reload();
      refused = await registry.checkSignatures();
    },
    onTaken: (taken) => {
      // A policy that has no list any more is no file that was taken.
      if (taken.file !== "") noteKeys(audit, taken, refused);
    },
    intervalMs: limits.accessCheckMs,
    logger,
  });
}
