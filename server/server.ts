/**
 * The composition root: makes every part, wires them, and owns the order in which they start and stop.
 *
 * @module
 */

import { setFlagsFromString } from "node:v8";
import { Admission } from "./admission/admission.ts";
import { type Clock, systemClock } from "./clock.ts";
import { leatError } from "./errors.ts";
import { type Limits, resolveLimits, wasmPageBytes } from "./limits.ts";
import { CompiledModuleCache } from "./module/cache.ts";
import { Completion } from "./outcome/completion.ts";
import { GuestTalk } from "./outcome/guest-talk.ts";
import { Pool } from "./pool/pool.ts";
import { Registry } from "./registry/registry.ts";
import { Engine } from "./rpc/engine.ts";
import { GrpcDoor } from "./rpc/grpc-door.ts";
import { HealthBoard } from "./rpc/health.ts";
import { HttpDoor } from "./rpc/http-door.ts";
import { Scheduler } from "./scheduling/scheduler.ts";
import { MemoryModuleStore, type ModuleStore } from "./store/module-store.ts";
import { BatchTracer } from "./telemetry/batch-trace.ts";
import { createLogger, type Logger } from "./telemetry/logger.ts";
import { createMetrics, prometheusContentType } from "./telemetry/metrics.ts";
import { takeSnapshot } from "./telemetry/snapshot.ts";
import { Stats } from "./telemetry/stats.ts";
import { startTelemetry } from "./telemetry/tracing.ts";
import { serverVersion } from "./version.ts";

/** How to run a server. */
export interface ServerOptions {
  /** Where gRPC listens, as `host:port`; port 0 takes a free one. Default 127.0.0.1:7070. */
  readonly grpcAddress?: string;
  /** Where HTTP listens; false for no HTTP. Default 127.0.0.1:7071. */
  readonly httpAddress?: string | false;
  /** Limits that differ from the defaults. */
  readonly limits?: Partial<Limits>;
  /** The log. Default: errors only, to stderr. */
  readonly logger?: Logger;
  /** The environment that telemetry reads its `OTEL_*` variables from. Default: the process's. */
  readonly telemetryEnv?: Readonly<Record<string, string | undefined>>;
  /** Makes spans in place of what `OTEL_*` asks for. */
  readonly tracer?: ConstructorParameters<typeof BatchTracer>[0];
  /** Where modules are kept. Default: in memory. */
  readonly moduleStore?: ModuleStore;
  /** The time. Default: the machine's clock. */
  readonly clock?: Clock;
  /** Loads modules and pipelines before the server takes calls; what it throws ends the start. */
  readonly prepare?: (registry: Registry) => Promise<void>;
}

/** A server that runs. */
export interface LeatServer extends AsyncDisposable {
  /** The port on which gRPC listens. */
  readonly grpcPort: number;
  /** The port on which HTTP listens. */
  readonly httpPort: number | undefined;
  /** The modules and pipelines. */
  readonly registry: Registry;
  /** The figures. */
  readonly stats: Stats;
  /** Takes no more work, finishes what is in flight within `maxDrainMs`, and ends. Exact once, however often it is called. */
  drain(): Promise<void>;
  /** Ends at once: calls in flight fail. */
  close(): Promise<void>;
}

/**
 * The flags that V8 must have before it compiles the first module.
 *
 * The tiering budget makes V8's baseline code look for a request to stop often enough (a loop of bulk operations
 * else runs on for minutes after `terminate`); the other two are backstops behind the clamping of modules.
 */
function setEngineFlags(limits: Readonly<Limits>): void {
  setFlagsFromString("--wasm-tiering-budget=10000");
  setFlagsFromString(`--wasm-max-mem-pages=${Math.ceil(limits.maxGuestMemoryBytes / wasmPageBytes)}`);
  setFlagsFromString(`--wasm-max-table-size=${limits.maxTableEntries}`);
}

/**
 * Starts a server: resolves when it takes calls.
 *
 * @example
 * await using server = await startServer({ grpcAddress: "127.0.0.1:0", httpAddress: false });
 */
export async function startServer(options: ServerOptions = {}): Promise<LeatServer> {
  const limits = resolveLimits(options.limits);
  setEngineFlags(limits);
  const clock = options.clock ?? systemClock;
  const logger = options.logger ?? createLogger({ level: "error" });
  const telemetry = await startTelemetry({
    serviceVersion: serverVersion,
    log: logger,
    ...(options.telemetryEnv === undefined ? {} : { env: options.telemetryEnv }),
  });
  const stats = new Stats(clock.nowMs(), limits);
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
  const store = options.moduleStore ?? new MemoryModuleStore();
  const cache = new CompiledModuleCache(limits);
  const registry = new Registry({
    limits,
    clock,
    store,
    cache,
    pool,
    onPipelineUnused: (pipeline) => {
      scheduler.forget(pipeline);
      pool.drop(pipeline);
    },
  });
  const guests = new GuestTalk(stats, logger, (id) => registry.pipelines.byId(id));
  const admission = new Admission(limits, stats.admission);
  const tracer = new BatchTracer(options.tracer ?? telemetry.tracer, clock);
  const metrics = createMetrics(stats, { serviceVersion: serverVersion, meter: telemetry.meter });
  const refresh = (): void => {
    pool.refreshStats();
    Object.assign(stats.moduleCache, cache.stats());
  };
  const snapshot = (pipeline: string) => {
    refresh();
    return takeSnapshot(stats, { pipeline, clock });
  };
  const engine = new Engine({ limits, clock, registry, admission, tracer, scheduler, snapshot });
  const health = new HealthBoard();
  const grpc = new GrpcDoor(engine, health);
  const http =
    options.httpAddress === false
      ? undefined
      : new HttpDoor(engine, {
          health,
          prometheusContentType,
          prometheusText: () => {
            refresh();
            return metrics.prometheusText();
          },
        });

  const end = async (): Promise<void> => {
    grpc.close();
    http?.close();
    await pool.close();
    await metrics.shutdown();
    await telemetry.shutdown();
  };
  const listen = async (): Promise<{ grpcPort: number; httpPort: number | undefined }> => {
    await pool.start();
    await options.prepare?.(registry);
    return {
      grpcPort: await grpc.listen(...parseAddress(options.grpcAddress ?? "127.0.0.1:7070")),
      httpPort: await http?.listen(...parseAddress(options.httpAddress || "127.0.0.1:7071")),
    };
  };
  const { grpcPort, httpPort } = await listen().catch(async (error: unknown) => {
    await end();
    throw error;
  });
  health.serving();
  logger.info({ grpcPort, httpPort, version: serverVersion }, "serving");

  let ended: Promise<void> | undefined;
  const close = (): Promise<void> => {
    ended ??= end();
    return ended;
  };
  let drained: Promise<void> | undefined;
  const drain = async (): Promise<void> => {
    health.notServing("draining");
    engine.state = { t: "draining" };
    grpc.drain();
    const finished = Promise.all([grpc.finish(), http?.finish()]);
    const timer = Promise.withResolvers<void>();
    const timeout = setTimeout(timer.resolve, limits.maxDrainMs);
    await Promise.race([finished, timer.promise]);
    clearTimeout(timeout);
    logger.info({ unanswered: stats.admission.batches }, "drained");
    await close();
  };
  return {
    grpcPort,
    httpPort,
    registry,
    stats,
    drain: () => {
      drained ??= drain();
      return drained;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** Takes `host:port` or `[v6]:port` apart. */
function parseAddress(address: string): [host: string, port: number] {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(address);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined)
    throw leatError("REQUEST_INVALID", { field: "address", problem: `"${address}" is not host:port` });
  return [host, Number(match?.[3])];
}
