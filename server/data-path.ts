/**
 * The composition root's innermost part: wires what a batch passes from the queue to the workers and back.
 *
 * @module
 */

import type { Isolation } from "./bridge/pipeline-spec.ts";
import type { Clock } from "./clock.ts";
import { type LeatError, leatError } from "./errors.ts";
import type { Limits } from "./limits.ts";
import { CompiledModuleCache } from "./module/cache.ts";
import { Accounting } from "./outcome/accounting.ts";
import { Aftermath, type AftermathParts } from "./outcome/aftermath.ts";
import { Breakers } from "./outcome/breakers.ts";
import { Completion } from "./outcome/completion.ts";
import { DroppedLines } from "./outcome/dropped-lines.ts";
import { GuestTalk } from "./outcome/guest-talk.ts";
import type { Crossing } from "./pool/crossing.ts";
import { Pool } from "./pool/pool.ts";
import type { PoolEvents } from "./pool/pool-events.ts";
import { processStarter } from "./pool/process-link.ts";
import { isHopeless } from "./pool/recovery.ts";
import { startThread } from "./pool/thread-link.ts";
import type { StartLink } from "./pool/worker-link.ts";
import { noteHeld, noteRollout } from "./registry/audited-events.ts";
import { ModuleSignatures } from "./registry/module-signatures.ts";
import { Registry } from "./registry/registry.ts";
import type { Rollout } from "./registry/rollout.ts";
import { Lane } from "./scheduling/lane.ts";
import { Offenders } from "./scheduling/offenders.ts";
import { Scheduler } from "./scheduling/scheduler.ts";
import { type Workplace, Workplaces } from "./scheduling/workplaces.ts";
import type { SignaturePolicy } from "./signing/signature-policy.ts";
import type { AuditLog } from "./store/audit-log.ts";
import type { DeadLetterSink } from "./store/dead-letter-store.ts";
import type { ModuleStore } from "./store/module-store.ts";
import type { RegistryStore } from "./store/registry-store.ts";
import type { LedgerRows } from "./supervision/ledger-rows.ts";
import type { Quarantine } from "./supervision/quarantine.ts";
import { WorkerStops } from "./supervision/worker-stops.ts";
import type { BatchTracer } from "./telemetry/batch-trace.ts";
import { LineBudget } from "./telemetry/line-budget.ts";
import type { Logger } from "./telemetry/logger.ts";
import type { PoolStats, Stats } from "./telemetry/stats.ts";

/** What the data path is made from. */
export interface DataPathOptions {
  readonly limits: Readonly<Limits>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly stats: Stats;
  readonly tracer: BatchTracer;
  readonly moduleStore: ModuleStore;
  readonly registryStore: RegistryStore;
  readonly deadLetters: DeadLetterSink | undefined;
  readonly quarantine: Quarantine;
  /** Who changed what. */
  readonly audit: AuditLog;
  /** What is asked of modules' signatures. */
  readonly policy: SignaturePolicy;
  /** Where the process says what it runs; undefined where nobody supervises it. */
  readonly ledger: LedgerRows | undefined;
  /** Where pipelines run that say nothing of it. */
  readonly isolation: Isolation;
  /** Told of what health may follow. */
  readonly health: {
    /** Modules, pipelines or breakers have changed. */
    changed(): void;
    /** A worker thread was stopped or has died. */
    workerStopped(): void;
  };
}

/** The data path, and the registry that feeds it. */
export interface DataPath {
  readonly places: Workplaces;
  readonly cache: CompiledModuleCache;
  readonly registry: Registry;
  readonly breakers: Breakers;
}

/** Makes and wires the parts. */
export function makeDataPath(options: DataPathOptions): DataPath {
  const { limits, clock, logger, stats } = options;
  const breakers = new Breakers(clock, stats, (module, digest, from, to) => {
    logger.warn({ module, digest, from, to }, "a breaker changed");
    if (to === "open") registry.rollouts.breakerOpened(digest);
    options.tracer.breakerChanged(module, digest, from, to);
    options.health.changed();
  });
  const offenders = makeOffenders(options, (crossing) => places.othersWait(crossing));
  const accounting = new Accounting(
    stats,
    new DroppedLines(logger, limits),
    (crossing, stage, cpuMs, faults) => offenders.ran(crossing, stage, cpuMs, faults),
  );
  const completion: Completion = makeCompletion(
    options,
    accounting,
    breakers,
    (job) => places.submit(job),
    (crossing) => places.again(crossing),
  );
  const places: Workplaces = makePlaces(
    options,
    { accounting, breakers, completion, offenders },
    {
      refusalBefore: (crossing) => refusalBefore(options.quarantine, signatures, crossing),
      guest: (message) => guests.take(message),
    },
  );
  const cache = new CompiledModuleCache(limits);
  const signatures = makeSignatures(options);
  const registry: Registry = new Registry({
    limits,
    clock,
    store: options.moduleStore,
    records: options.registryStore,
    cache,
    places,
    isolation: options.isolation,
    quarantine: options.quarantine,
    signatures,
    ledger: options.ledger,
    onCompiled: (compileUs) => stats.moduleCache.compile.add(compileUs * 1_000),
    onUnloaded: (digest) => {
      breakers.forget(digest);
      offenders.forget(digest);
    },
    shadows: {
      submit: (job) => places.submit(job),
      idle: (pipeline) => places.idle(pipeline),
      random: Math.random,
    },
    onChange: () => options.health.changed(),
    onRolloutEnded: (rollout) => {
      logRollout(logger, rollout);
      noteRollout(options.audit, rollout);
    },
    onPipelineUnused: (pipeline) => places.forget(pipeline),
  });
  const guests = new GuestTalk(stats, logger, (id) => registry.pipelines.byId(id));
  return { places, cache, registry, breakers };
}

/** Limits of a pipeline's own place: few processes, since each costs memory. */
function ownLimits(limits: Readonly<Limits>): Readonly<Limits> {
  return { ...limits, maxWorkers: 1, maxSpareWorkers: 0, maxExtraWorkers: 1 };
}

/** Figures of a pipeline's own pool: what was stopped is counted with the others. */
function ownStats({ pool }: Stats): PoolStats {
  return {
    workers: 0,
    spares: 0,
    busy: 0,
    instances: 0,
    instanceBytes: 0,
    processes: 0,
    stopped: pool.stopped,
  };
}

/** What deals with crossings after their run. */
interface AfterParts {
  readonly accounting: Accounting;
  readonly breakers: Breakers;
  readonly completion: Completion;
  readonly offenders: Offenders;
}

/** Asked and told from the places where pipelines run. */
interface PlaceHooks {
  /** The error that a crossing is answered with in place of a run. */
  readonly refusalBefore: (crossing: Crossing) => LeatError | undefined;
  readonly guest: PoolEvents["guest"];
}

/** Makes the workers that serve all, and what makes workers for pipelines that have their own. */
function makePlaces(options: DataPathOptions, after: AfterParts, hooks: PlaceHooks): Workplaces {
  const { limits, clock, logger, stats } = options;
  const { breakers, completion } = after;
  const onFault = faultListener(options, breakers);
  const fault: PoolEvents["fault"] = (crossing, stage) => {
    after.offenders.stopped(crossing, stage);
    onFault(crossing, stage);
  };
  const place = (own: Readonly<Limits>, start: StartLink, poolStats: PoolStats): Workplace => {
    const lane = new Lane((pipeline) => after.offenders.confines(pipeline));
    const scheduler = new Scheduler(
      own,
      () => pool,
      (crossing) => {
        const refused = hooks.refusalBefore(crossing) ?? breakers.admit(crossing);
        if (refused !== undefined) completion.abandon(crossing, refused);
        return refused === undefined;
      },
      (job) => completion.withdrawn(job),
      lane,
    );
    // A process of its own that aborts takes nobody along who would have to be told.
    const ledger = start === startThread ? options.ledger : undefined;
    const pool: Pool = new Pool({ limits: own, clock, ledger, start }, poolStats, {
      ...poolEvents(options, after, scheduler, lane),
      fault,
      guest: hooks.guest,
    });
    return { pool, scheduler, stats: poolStats };
  };
  const inProcess = processStarter(clock);
  return new Workplaces({
    limits,
    shared: place(limits, options.isolation === "process" ? inProcess : startThread, stats.pool),
    makeOwn: () => place(ownLimits(limits), inProcess, ownStats(stats)),
    abandon: (crossing, error) => completion.abandon(crossing, error),
    onFailedStart: (pipeline, err) => logger.error({ pipeline, err }, "a pipeline's process does not start"),
  });
}

function workerStopped({ logger, health }: DataPathOptions, reason: string, problem: string): void {
  logger.warn({ reason, problem }, "a worker was stopped");
  health.workerStopped();
}

function makeOffenders(
  { limits, clock, logger, stats }: DataPathOptions,
  othersWait: (crossing: Crossing) => boolean,
): Offenders {
  const offenders = new Offenders(limits, clock, othersWait, (change, { module, version, digest, why }) => {
    const fields = { module: `${module}@${version}`, digest };
    if (change === "confined") logger.warn(fields, `a module is confined to one worker at a time: ${why}`);
    else logger.info(fields, "a module is confined no more");
  });
  stats.confined = () => offenders.list();
  return offenders;
}

/** What becomes of what happens in the pool. */
function poolEvents(
  options: DataPathOptions,
  { accounting, completion }: AfterParts,
  scheduler: Scheduler,
  lane: Lane,
): Omit<PoolEvents, "guest" | "fault"> {
  return {
    completed: (worker, crossing, slot, output) => {
      lane.leave(crossing);
      completion.completed(worker, crossing, slot, output);
    },
    again: (crossing) => {
      lane.leave(crossing);
      if (crossing.cancelledMs !== undefined) completion.abandon(crossing, leatError("CANCELLED"));
      else if (crossing.purpose === "warm-up" || givesUp(crossing)) completion.abandonWarmUp(crossing);
      else if (isHopeless(crossing, options.limits))
        completion.abandon(
          crossing,
          leatError("WORKER_LOST", { problem: "its workers died again and again" }),
        );
      else if (crossing.jobs.length > 1 && crossing.exclusions.length > 0) completion.runApart(crossing);
      else scheduler.again(crossing);
    },
    lost: (worker, crossing, cpuMs) => accounting.lost(worker, crossing, cpuMs),
    room: () => scheduler.room(),
    stopped: (reason, problem) => workerStopped(options, reason, problem),
  };
}

/** Makes what is told of each stage that has brought its worker down. */
function faultListener(
  options: DataPathOptions,
  breakers: Breakers,
): (crossing: Crossing, stage: number) => void {
  const stops = new WorkerStops(options.limits);
  // However many of its records stop workers: one caller's batch must not put a module away from all others.
  const counted = new WeakSet<Crossing>();
  return (crossing, stage) => {
    breakers.fault(crossing, stage);
    if (counted.has(crossing)) return;
    counted.add(crossing);
    countStop(options, stops, crossing, stage);
  };
}

/** Holds a module that has brought workers down too often. */
function countStop(
  { limits, clock, logger, quarantine, audit }: DataPathOptions,
  stops: WorkerStops,
  { purpose, pipeline }: Crossing,
  stage: number,
): void {
  const spec = pipeline.spec.stages[stage];
  if (purpose !== "serve" || spec === undefined || !stops.note(spec.digest, clock.nowMs())) return;
  const { module, version, digest } = spec;
  const why = `it has brought ${limits.maxWorkerStops} workers down within ${limits.workerStopWindowMs} ms`;
  logger.error({ module: `${module}@${version}`, digest }, `a module is put in quarantine: ${why}`);
  noteHeld(audit, { name: module, version, digest }, why);
  try {
    quarantine.hold(digest, why);
  } catch (err) {
    logger.error({ err }, "the quarantine could not be written, and ends with the process");
  }
}

/** A crossing that nobody waits for, or of which a module must not run, does not. @returns the error to answer it with, or undefined */
function refusalBefore(
  quarantine: Quarantine,
  signatures: ModuleSignatures,
  crossing: Crossing,
): LeatError | undefined {
  if (crossing.cancelledMs !== undefined) return leatError("CANCELLED");
  if ((quarantine.empty && signatures.noneRefused) || crossing.purpose !== "serve") return undefined;
  for (const { digest, module, version } of crossing.pipeline.spec.stages) {
    const refused =
      quarantine.refusal(digest, `${module}@${version}`) ?? signatures.refusalToRun(module, version, digest);
    if (refused !== undefined) return refused;
  }
  return undefined;
}

/** What is known of modules' signatures; what comes of it is logged and counted. */
function makeSignatures({
  clock,
  limits,
  logger,
  moduleStore,
  policy,
  stats,
}: DataPathOptions): ModuleSignatures {
  const outcomes = stats.signatures.loads;
  const lines = new LineBudget(clock, limits.maxRefusalLinesPerSecond);
  return new ModuleSignatures({
    policy,
    store: moduleStore,
    limits,
    clock,
    onLoad: ({ module, problem, refused }) => {
      const outcome = problem?.reason ?? "verified";
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      const line = problem && lines.take();
      if (problem === undefined || line === undefined) return;
      const { reason, message } = problem;
      logger.warn(
        { module, reason, problem: message, ...line },
        refused ? "a module is refused" : "a module is taken all the same",
      );
    },
    onChange: ({ module, problem, refused }) => {
      if (problem === undefined) logger.info({ module }, "a module's signature counts");
      else if (refused)
        logger.error(
          { module, problem: problem.message },
          "a module is not served any more, for its signature",
        );
      else logger.warn({ module, problem: problem.message }, "a module's signature does not count");
    },
  });
}

function logRollout(logger: Logger, { base, candidate, mode, state }: Rollout): void {
  const versions = { module: base.name, from: base.version, to: candidate.version };
  logger.info({ ...versions, mode, state }, "a rollout has ended");
}

/** A shadow that has stopped a worker is not worth another; one that only waited behind such a batch runs elsewhere. */
function givesUp({ purpose, exclusions, spentMs }: Crossing): boolean {
  return purpose === "shadow" && (exclusions.length > 0 || spentMs > 0);
}

/** Answers to crossings, and what comes after those with failures that policies deal with. */
function makeCompletion(
  { limits, clock, logger, stats, tracer, deadLetters }: DataPathOptions,
  accounting: Accounting,
  breakers: Breakers,
  submit: AftermathParts["submit"],
  again: (crossing: Crossing) => void,
): Completion {
  const completion: Completion = new Completion(
    limits,
    clock,
    stats,
    accounting,
    breakers,
    (job, result, matters) => Aftermath.begin(aftermath, job, result, matters),
    again,
  );
  const aftermath: AftermathParts = {
    clock,
    stats,
    tracer,
    random: Math.random,
    submit,
    answer: (job, result) => completion.answer(job, result),
    deadLetters,
    onLettersLost: (err, letters) => {
      stats.lettersLost += letters;
      logger.error({ err, letters }, "dead letters could not be kept");
    },
  };
  return completion;
}
