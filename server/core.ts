/**
 * The composition root's inner half: makes the parts behind the doors and wires them.
 *
 * @module
 */

import { Admission } from "./admission/admission.ts";
import type { Clock } from "./clock.ts";
import { leatError } from "./errors.ts";
import type { Limits } from "./limits.ts";
import { CompiledModuleCache } from "./module/cache.ts";
import { Completion } from "./outcome/completion.ts";
import { GuestTalk } from "./outcome/guest-talk.ts";
import { Pool } from "./pool/pool.ts";
import { Registry } from "./registry/registry.ts";
import { Engine } from "./rpc/engine.ts";
import { Scheduler } from "./scheduling/scheduler.ts";
import { MemoryModuleStore, type ModuleStore } from "./store/module-store.ts";
import { BatchTracer } from "./telemetry/batch-trace.ts";
import type { Logger } from "./telemetry/logger.ts";
import { createMetrics } from "./telemetry/metrics.ts";
import { takeSnapshot } from "./telemetry/snapshot.ts";
import { Stats } from "./telemetry/stats.ts";
import type { Telemetry } from "./telemetry/tracing.ts";
import { serverVersion } from "./version.ts";

/** What the parts are made from. */
export interface CoreOptions {
  readonly limits: Readonly<Limits>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly telemetry: Telemetry;
  /** Makes spans in place of the telemetry's. */
  readonly tracer: ConstructorParameters<typeof BatchTracer>[0];
  readonly moduleStore: ModuleStore | undefined;
}

/** The parts that the doors and the life cycle use. */
export interface Core {
  readonly limits: Readonly<Limits>;
  readonly logger: Logger;
  readonly stats: Stats;
  readonly pool: Pool;
  readonly registry: Registry;
  readonly engine: Engine;
  /** All figures in Prometheus's text format. */
  prometheusText(): Promise<string>;
  /** Ends workers and telemetry. */
  close(): Promise<void>;
}

/** Makes and wires the parts. Nothing runs yet: start the pool. */
export function makeCore({ limits, clock, logger, telemetry, tracer, moduleStore }: CoreOptions): Core {
  const stats = new Stats(clock.nowMs(), limits);
  const { pool, scheduler, cache, registry } = makeDataPath(limits, clock, logger, stats, moduleStore);
  const admission = new Admission(limits, stats.admission);
  const metrics = createMetrics(stats, { serviceVersion: serverVersion, meter: telemetry.meter });
  const refresh = (): void => {
    pool.refreshStats();
    Object.assign(stats.moduleCache, cache.stats());
  };
  const engine = new Engine({
    limits,
    clock,
    registry,
    admission,
    tracer: new BatchTracer(tracer ?? telemetry.tracer, clock),
    scheduler,
    snapshot: (pipeline) => {
      refresh();
      return takeSnapshot(stats, { pipeline, clock });
    },
  });
  return {
    limits,
    logger,
    stats,
    pool,
    registry,
    engine,
    prometheusText: () => {
      refresh();
      return metrics.prometheusText();
    },
    close: async () => {
      await pool.close();
      await metrics.shutdown();
      await telemetry.shutdown();
    },
  };
}

/** From the queue to the workers and back, and the registry that feeds them. */
function makeDataPath(
  limits: Readonly<Limits>,
  clock: Clock,
  logger: Logger,
  stats: Stats,
  moduleStore: ModuleStore | undefined,
): { pool: Pool; scheduler: Scheduler; cache: CompiledModuleCache; registry: Registry } {
  const completion = new Completion(limits, clock, stats);
  const scheduler = new Scheduler(limits, () => pool);
  const pool: Pool = new Pool(limits, clock, stats.pool, {
    completed: (worker, crossing, slot, output) => completion.completed(worker, crossing, slot, output),
    again: (crossing) => {
      if (crossing.cancelledMs !== undefined) completion.abandon(crossing, leatError("CANCELLED"));
      else if (crossing.purpose === "warm-up") completion.abandonWarmUp(crossing);
      else scheduler.again(crossing);
    },
    room: () => scheduler.room(),
    guest: (message) => guests.take(message),
    stopped: (reason, problem) => logger.warn({ reason, problem }, "a worker was stopped"),
  });
  const cache = new CompiledModuleCache(limits);
  const registry = new Registry({
    limits,
    clock,
    store: moduleStore ?? new MemoryModuleStore(),
    cache,
    pool,
    onCompiled: (compileUs) => stats.moduleCache.compile.add(compileUs * 1_000),
    onPipelineUnused: (pipeline) => {
      scheduler.forget(pipeline);
      pool.drop(pipeline);
    },
  });
  const guests = new GuestTalk(stats, logger, (id) => registry.pipelines.byId(id));
  return { pool, scheduler, cache, registry };
}
