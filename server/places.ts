/**
 * The composition root's part for the places where pipelines run: workers and their queue, and what becomes of what happens there.
 *
 * @module
 */

import type { Isolation } from "./bridge/pipeline-spec.ts";
import type { Clock } from "./clock.ts";
import { type LeatError, leatError } from "./errors.ts";
import type { Limits } from "./limits.ts";
import type { Accounting } from "./outcome/accounting.ts";
import type { Breakers } from "./outcome/breakers.ts";
import type { Completion } from "./outcome/completion.ts";
import type { Crossing } from "./pool/crossing.ts";
import { Pool } from "./pool/pool.ts";
import type { PoolEvents } from "./pool/pool-events.ts";
import { processStarter } from "./pool/process-link.ts";
import { isHopeless } from "./pool/recovery.ts";
import { startThread } from "./pool/thread-link.ts";
import type { StartLink } from "./pool/worker-link.ts";
import { noteHeld } from "./registry/audited-events.ts";
import type { ModuleSignatures } from "./registry/module-signatures.ts";
import { type Confinement, Lane } from "./scheduling/lane.ts";
import { Offenders } from "./scheduling/offenders.ts";
import { Scheduler } from "./scheduling/scheduler.ts";
import { type Workplace, Workplaces } from "./scheduling/workplaces.ts";
import type { AuditLog } from "./store/audit-log.ts";
import type { LedgerRows } from "./supervision/ledger-rows.ts";
import type { Quarantine } from "./supervision/quarantine.ts";
import { WorkerStops } from "./supervision/worker-stops.ts";
import type { Logger } from "./telemetry/logger.ts";
import type { PoolStats, Stats } from "./telemetry/stats.ts";

/** What the places are made from. */
export interface PlacesOptions {
  readonly limits: Readonly<Limits>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly stats: Stats;
  readonly quarantine: Quarantine;
  /** Who changed what. */
  readonly audit: AuditLog;
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

/** In a place of its own, a pipeline holds nobody up. */
const nobodyBeside: Confinement = { empty: true, confines: () => false };

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
export function makePlaces(options: PlacesOptions, after: AfterParts, hooks: PlaceHooks): Workplaces {
  const { limits, clock, logger, stats } = options;
  const { breakers, completion } = after;
  const onFault = faultListener(options, breakers);
  const fault: PoolEvents["fault"] = (crossing, stage) => {
    after.offenders.stopped(crossing, stage);
    onFault(crossing, stage);
  };
  const place = (
    own: Readonly<Limits>,
    start: StartLink,
    poolStats: PoolStats,
    confinement: Confinement,
  ): Workplace => {
    const lane = new Lane(confinement);
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
    shared: place(
      limits,
      options.isolation === "process" ? inProcess : startThread,
      stats.pool,
      after.offenders,
    ),
    makeOwn: () => place(ownLimits(limits), inProcess, ownStats(stats), nobodyBeside),
    abandon: (crossing, error) => completion.abandon(crossing, error),
    onFailedStart: (pipeline, err) => logger.error({ pipeline, err }, "a pipeline's process does not start"),
  });
}

function workerStopped({ logger, health }: PlacesOptions, reason: string, problem: string): void {
  logger.warn({ reason, problem }, "a worker was stopped");
  health.workerStopped();
}

/** Asked and told by what watches for offenders. */
interface OffenderHooks {
  /** Whether batches of other pipelines wait for the workers of a crossing. */
  readonly othersWait: (crossing: Crossing) => boolean;
  /** The last offender was let go. */
  readonly nobodyConfined: () => void;
}

/** Makes what watches for modules that hold others up. */
export function makeOffenders(
  { limits, clock, logger, stats }: PlacesOptions,
  { othersWait, nobodyConfined }: OffenderHooks,
): Offenders {
  const offenders: Offenders = new Offenders(limits, clock, othersWait, (change, confined) => {
    const { module, version, digest, why } = confined;
    const fields = { module: `${module}@${version}`, digest };
    if (change === "confined") logger.warn(fields, `a module is confined to the lane of offenders: ${why}`);
    else logger.info(fields, "a module is confined no more");
    if (offenders.empty) nobodyConfined();
  });
  stats.confined = () => offenders.list();
  return offenders;
}

/** What becomes of what happens in the pool. */
function poolEvents(
  options: PlacesOptions,
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
    undying: (workers) =>
      options.logger.error({ workers }, "workers do not end; the process may have to be killed"),
  };
}

/** Makes what is told of each stage that has brought its worker down. */
function faultListener(
  options: PlacesOptions,
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
  { limits, clock, logger, quarantine, audit }: PlacesOptions,
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
export function refusalBefore(
  quarantine: Quarantine,
  signatures: ModuleSignatures,
  crossing: Crossing,
): LeatError | undefined {
  if (crossing.cancelledMs !== undefined) return leatError("CANCELLED");
  if (quarantine.empty && signatures.noneRefused) return undefined;
  for (const { digest, module, version } of crossing.pipeline.spec.stages) {
    const refused =
      quarantine.refusal(digest, `${module}@${version}`) ?? signatures.refusalToRun(module, version, digest);
    if (refused !== undefined) return refused;
  }
  return undefined;
}

/** A shadow that has stopped a worker is not worth another; one that only waited behind such a batch runs elsewhere. */
function givesUp({ purpose, exclusions, spentMs }: Crossing): boolean {
  return purpose === "shadow" && (exclusions.length > 0 || spentMs > 0);
}
