/**
 * The composition root's outer half: starts the parts, opens the doors, and owns the order in which all that stops.
 *
 * @module
 */

import { join } from "node:path";
import { setTimeout as delay, setImmediate as nextTurn } from "node:timers/promises";
import { AccessControl } from "./access/access-control.ts";
import type { TlsFiles } from "./access/certificates.ts";
import type { Isolation } from "./bridge/pipeline-spec.ts";
import { type Clock, systemClock } from "./clock.ts";
import type { ConfigWatch } from "./config/config-watch.ts";
import { checkExposure } from "./config/exposure.ts";
import type { LiveConfig, LiveSettings } from "./config/live-config.ts";
import { type Core, type CoreOptions, makeCore, type SupervisionFiles } from "./core.ts";
import { leatError } from "./errors.ts";
import { type Limits, resolveLimits } from "./limits.ts";
import { digestOf } from "./module/compile.ts";
import { setEngineFlags } from "./module/engine-flags.ts";
import { noteBrokenFile } from "./registry/audited-events.ts";
import { auditedStart, noteQuarantined, noteRestored, type StartRegistry } from "./registry/audited-start.ts";
import type { Registry } from "./registry/registry.ts";
import { GrpcDoor } from "./rpc/grpc-door.ts";
import { HttpDoor } from "./rpc/http-door.ts";
import { type ConfigStart, configOfProgram, makeRunningConfig, watchConfig } from "./running-config.ts";
import { noSignatures, type SignatureOptions, SignaturePolicy } from "./signing/signature-policy.ts";
import { type AuditFailurePolicy, AuditLog } from "./store/audit-log.ts";
import { type DeadLetterSink, DeadLetterStore } from "./store/dead-letter-store.ts";
import { FileModuleStore } from "./store/module-files.ts";
import { MemoryModuleStore, type ModuleStore } from "./store/module-store.ts";
import { DatabaseRegistryStore, MemoryRegistryStore, type RegistryStore } from "./store/registry-store.ts";
import { StoreClient } from "./store/store-client.ts";
import type { BatchTracer } from "./telemetry/batch-trace.ts";
import { createLogger, type Logger } from "./telemetry/logger.ts";
import { prometheusContentType } from "./telemetry/prometheus-text.ts";
import type { Stats } from "./telemetry/stats.ts";
import { startTelemetry } from "./telemetry/tracing.ts";
import { serverVersion } from "./version.ts";

/** How to run a server. */
export interface ServerOptions {
  /** Where gRPC listens, as `host:port`; port 0 takes a free one. Default 127.0.0.1:7070. */
  readonly grpcAddress?: string;
  /** Where HTTP listens; false for no HTTP. Default 127.0.0.1:7071. */
  readonly httpAddress?: string | false;
  /** The names under which the HTTP door may be called. Default: those of this machine, where it listens on that alone; else any. */
  readonly httpHosts?: readonly string[] | undefined;
  /** The server's certificate. Default: no TLS. */
  readonly tls?: TlsFiles | undefined;
  /** The access file, which says who may do what. Default: everybody may do everything. */
  readonly accessFile?: string | undefined;
  /** What is asked of modules' signatures. Default: nothing. */
  readonly signatures?: SignatureOptions;
  /** Lets others reach the server although it has no TLS or asks nobody who they are. Default false. */
  readonly insecureExpose?: boolean;
  /** Limits that differ from the defaults. */
  readonly limits?: Partial<Limits>;
  /** What becomes of a change whose audit entry cannot be written. Default: it is refused before anything is changed. */
  readonly auditOnFailure?: AuditFailurePolicy;
  /** The share of traces that begin here and are recorded, unless `OTEL_TRACES_SAMPLER` decides. Default 1. */
  readonly sampleRatio?: number | undefined;
  /** Where the configuration is from that these options were made of. Default: they are all there is. */
  readonly config?: ConfigStart;
  /** The log. Default: errors only, to stderr. */
  readonly logger?: Logger;
  /** The environment that telemetry reads its `OTEL_*` variables from. Default: the process's. */
  readonly telemetryEnv?: Readonly<Record<string, string | undefined>>;
  /** Makes spans in place of what `OTEL_*` asks for. */
  readonly tracer?: ConstructorParameters<typeof BatchTracer>[0];
  /** Where module binaries are kept. Default: in the data folder, or in memory where there is none. */
  readonly moduleStore?: ModuleStore;
  /** Where it is written down which modules and pipelines there are. Default: as for `moduleStore`. */
  readonly registryStore?: RegistryStore;
  /** Where the server keeps what shall outlive it. Default: nowhere: modules, pipelines and dead letters are lost when it ends. */
  readonly dataFolder?: string | undefined;
  /** Takes dead letters in place of the server's own store, which stays empty then. */
  readonly deadLetters?: DeadLetterSink;
  /** Whether the server, and pipelines that keep dead letters, count as serving only while the data folder can be used. Default false. */
  readonly needsStore?: boolean;
  /** Where to leave word for a supervisor, and where it leaves word. Default: nobody supervises the process. */
  readonly supervision?: SupervisionFiles;
  /** Where guests run: threads of this process, or processes of their own. Default: threads. */
  readonly isolation?: Isolation;
  /** The time. Default: the machine's clock. */
  readonly clock?: Clock;
  /** Loads modules and pipelines before the server takes calls; what it throws ends the start. */
  readonly prepare?: (registry: StartRegistry) => Promise<void>;
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
  /** The records that pipelines gave up on. */
  readonly deadLetters: DeadLetterStore;
  /** Looks at the files of certificates, access and signing keys at once, rather than at the next `accessCheckMs`. Resolves when what has changed is taken or refused. */
  checkAccessFiles(): Promise<void>;
  /**
   * Asks something else of modules' signatures from now on. Resolves when all that is loaded is judged by it.
   *
   * @throws ConfigError when the keys cannot be used: nothing has changed then
   */
  useSignatures(options: SignatureOptions): Promise<void>;
  /**
   * Changes settings while the server runs, all together: calls and batches that come from then on are under the new limits, those
   * that are under way keep theirs to their end, and so does an open stream its window and the size of its batches. Limits that
   * take a restart must be as they were.
   *
   * @throws LeatError LIMITS_UNFIT when a stored pipeline asks for more than the new limits allow, and ConfigError when the keys of
   * signatures cannot be used; nothing has changed then
   */
  reconfigure(settings: LiveSettings): Promise<void>;
  /** The configuration: shows it, reads it again, sets keys. */
  readonly config: LiveConfig;
  /** Takes no more work, finishes what is in flight within `maxDrainMs`, and ends. Exact once, however often it is called. */
  drain(): Promise<void>;
  /** Ends at once: calls in flight fail. */
  close(): Promise<void>;
}

const defaultGrpcAddress = "127.0.0.1:7070";
const defaultHttpAddress = "127.0.0.1:7071";

/** The database in `dataFolder`, and the folder of module binaries. */
const storeFile = "leat.sqlite";
const modulesFolder = "modules";

/**
 * Starts a server: resolves when it takes calls.
 *
 * @example
 * await using server = await startServer({ grpcAddress: "127.0.0.1:0", httpAddress: false });
 */
export async function startServer(options: ServerOptions = {}): Promise<LeatServer> {
  const { grpcAddress = defaultGrpcAddress, httpAddress = defaultHttpAddress } = options;
  checkExposure({
    hosts: {
      "grpc.address": parseAddress(grpcAddress)[0],
      ...(httpAddress !== false && { "http.address": parseAddress(httpAddress)[0] }),
    },
    tls: options.tls !== undefined,
    access: options.accessFile !== undefined,
    insecure: options.insecureExpose === true,
  });
  // Not frozen: this is the object that a change of limits changes.
  const limits = { ...resolveLimits(options.limits) };
  setEngineFlags(limits);
  const logger = options.logger ?? createLogger({ level: "error" });
  const clock = options.clock ?? systemClock;
  const access = new AccessControl(
    { accessFile: options.accessFile, tls: options.tls },
    { limits, clock, logger },
  );
  const policy = new SignaturePolicy(options.signatures ?? noSignatures, limits);
  const telemetry = await startTelemetry({
    serviceVersion: serverVersion,
    log: logger,
    sampleRatio: options.sampleRatio,
    maxFlushMs: limits.maxTelemetryFlushMs,
    ...(options.telemetryEnv === undefined ? {} : { env: options.telemetryEnv }),
  });
  const { tracer, supervision, isolation = "thread" } = options;
  const stores = openStores(options, limits, clock, logger);
  const start = options.config ?? configOfProgram(options, limits, logger.level);
  const core = makeCore({
    limits,
    clock,
    logger,
    telemetry,
    tracer,
    supervision,
    isolation,
    access,
    policy,
    needsStore: options.needsStore === true,
    config: (stats) =>
      makeRunningConfig({
        start,
        logger,
        stats,
        nowMs: () => clock.nowMs(),
        apply: (settings) => server.reconfigure(settings),
        checkFiles: () => server.checkAccessFiles(),
      }),
    ...stores,
  });
  const server: RunningServer = new RunningServer(core, access, options, (settings) => {
    logger.level = settings.logLevel;
    telemetry.setSampleRatio(settings.sampleRatio);
  });
  await server.start();
  return server;
}

/** Opens what is kept in the data folder, or its like in memory. */
function openStores(
  options: ServerOptions,
  limits: Readonly<Limits>,
  clock: Clock,
  logger: Logger,
): Pick<CoreOptions, "audit" | "deadLetters" | "deadLetterSink" | "moduleStore" | "registryStore"> {
  const { dataFolder } = options;
  const file = dataFolder === undefined ? undefined : join(dataFolder, storeFile);
  const start = { file, maxPages: undefined, maxLockMs: limits.maxStoreLockMs };
  const client = new StoreClient(start, logger);
  const onFailure = options.auditOnFailure ?? "refuse";
  const audit = new AuditLog({ client, durable: file !== undefined, limits, clock, logger, onFailure });
  const files =
    dataFolder === undefined
      ? new MemoryModuleStore()
      : new FileModuleStore(join(dataFolder, modulesFolder), digestOf, (notice) => {
          logger.error(notice, "a module's file was broken and is set aside");
          noteBrokenFile(audit, notice.digest, notice.to);
        });
  const records = dataFolder === undefined ? new MemoryRegistryStore() : new DatabaseRegistryStore(client);
  return {
    audit,
    deadLetters: DeadLetterStore.begin({ file, limits, clock, logger, client }),
    deadLetterSink: options.deadLetters,
    moduleStore: options.moduleStore ?? files,
    registryStore: options.registryStore ?? records,
  };
}

/** A server with its doors. */
class RunningServer implements LeatServer {
  grpcPort = 0;
  httpPort: number | undefined;
  readonly registry: Registry;
  readonly stats: Stats;
  readonly deadLetters: DeadLetterStore;
  readonly config: LiveConfig;
  readonly #core: Core;
  #watch: ConfigWatch | undefined;
  #signatures: SignatureOptions | undefined;
  readonly #access: AccessControl;
  readonly #options: ServerOptions;
  readonly #apply: (settings: LiveSettings) => void;
  readonly #grpc: GrpcDoor;
  readonly #http: HttpDoor | undefined;
  #drained: Promise<void> | undefined;
  #ended: Promise<void> | undefined;
  readonly #ending = new AbortController();

  /** @param apply - puts the settings in force that are no limits */
  constructor(
    core: Core,
    access: AccessControl,
    options: ServerOptions,
    apply: (settings: LiveSettings) => void,
  ) {
    const { certificates } = access;
    this.#apply = apply;
    this.#core = core;
    this.#access = access;
    this.#options = options;
    this.#signatures = options.signatures;
    this.registry = core.registry;
    this.stats = core.stats;
    this.deadLetters = core.engine.deadLetters;
    this.config = core.engine.config;
    this.#grpc = new GrpcDoor(core.engine, certificates, core.stats.connections.grpc);
    if (options.httpAddress === false) return;
    this.#http = new HttpDoor(core.engine, {
      prometheusContentType,
      prometheusText: core.prometheusText,
      certificates,
      connections: core.stats.connections.http,
      hosts: options.httpHosts,
    });
  }

  async start(): Promise<void> {
    const { grpcAddress = defaultGrpcAddress, httpAddress, prepare } = this.#options;
    try {
      // Each takes threads of its own.
      await Promise.all([this.#core.places.start(), this.deadLetters.opened]);
      await this.#restore();
      await prepare?.(auditedStart(this.registry, this.#core.engine.audit));
      this.grpcPort = await this.#grpc.listen(...parseAddress(grpcAddress));
      this.httpPort = await this.#http?.listen(...parseAddress(httpAddress || defaultHttpAddress));
    } catch (error) {
      await this.close();
      throw error;
    }
    this.#core.engine.health.serving();
    const { grpcPort, httpPort } = this;
    for (const { code, message, pipelines } of this.#core.engine.health.serverWithRemarks().reasons)
      this.#core.logger.warn({ code, pipelines }, message);
    this.#core.logger.info({ grpcPort, httpPort, version: serverVersion }, "serving");
    const { config } = this.#options;
    if (config !== undefined) this.#watch = watchConfig(this.config, config, this.#core.limits);
    void this.#warmUp();
  }

  async #restore(): Promise<void> {
    const { logger } = this.#core;
    const { audit } = this.#core.engine;
    const restored = await this.registry.restore();
    const { modules, pipelines, problems } = restored;
    await noteRestored(audit, restored);
    await noteQuarantined(audit, this.registry.quarantined());
    for (const problem of problems) logger.error({ problem }, "what was kept cannot be used");
    if (modules + pipelines > 0) logger.info({ modules, pipelines }, "modules and pipelines were restored");
  }

  /** What was restored serves at once; callers who come before this has built their pipeline wait for it. */
  async #warmUp(): Promise<void> {
    const { signal } = this.#ending;
    const rest = (ms: number) =>
      delay(ms, undefined, { signal, ref: false }).catch(() => undefined) as Promise<void>;
    await this.registry.warmUp(signal, rest, (pipeline, err) =>
      this.#core.logger.error({ pipeline, err }, "a restored pipeline cannot be built"),
    );
  }

  async checkAccessFiles(): Promise<void> {
    await Promise.all([this.#access.check(), this.#core.checkSigningKeys()]);
  }

  async useSignatures(options: SignatureOptions): Promise<void> {
    this.#core.policy.use(options);
    await this.registry.checkSignatures();
  }

  async reconfigure(settings: LiveSettings): Promise<void> {
    const before = this.#signatures;
    const { signatures } = settings;
    const others = signatures.mode !== before?.mode || signatures.keysFile !== before?.keysFile;
    // What can be refused is tried before anything is put in force: a rollout that a judgement ends does not come back.
    const putInForce = others ? this.#core.policy.read(signatures) : undefined;
    await this.#core.changeLimits(settings.limits);
    putInForce?.();
    this.#signatures = signatures;
    this.#apply(settings);
    if (others) await this.registry.checkSignatures();
  }

  drain(): Promise<void> {
    this.#drained ??= this.#drain();
    return this.#drained;
  }

  async #drain(): Promise<void> {
    const { engine, limits, logger } = this.#core;
    engine.drain();
    // Those who watch are told before the connections say that they close.
    await nextTurn();
    const finished = Promise.all([this.#grpc.finish(), this.#http?.finish()]);
    const timeout = Promise.withResolvers<void>();
    const timer = setTimeout(timeout.resolve, limits.maxDrainMs);
    await Promise.race([finished, timeout.promise]);
    clearTimeout(timer);
    logger.info({ unanswered: this.stats.admission.batches }, "drained");
    await this.close();
  }

  close(): Promise<void> {
    this.#ended ??= this.#end();
    return this.#ended;
  }

  async #end(): Promise<void> {
    this.#ending.abort();
    this.#watch?.close();
    this.#grpc.close();
    this.#http?.close();
    await this.#core.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** Takes `host:port` or `[v6]:port` apart. */
function parseAddress(address: string): [host: string, port: number] {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(address);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined)
    throw leatError("REQUEST_INVALID", { field: "address", problem: `"${address}" is not host:port` });
  return [host, Number(match?.[3])];
}
