/**
 * A server for tests: real, on free ports, with modules loaded, and strict about what it leaves behind.
 *
 * @module
 */

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { BreakerPolicySchema, Leat, type LeatOptions, StageSchema } from "@leat/sdk";
import type { Clock } from "../../server/clock.ts";
import type { Limits } from "../../server/limits.ts";
import { type LeatServer, type ServerOptions, startServer } from "../../server/server.ts";
import type { DeadLetterSink } from "../../server/store/dead-letter-store.ts";
import { MemoryModuleStore, type ModuleStore } from "../../server/store/module-store.ts";
import type { RegistryStore } from "../../server/store/registry-store.ts";
import { heldThings, liveThreads } from "./inventory.ts";
import { type ModuleSource, moduleBytes } from "./modules.ts";
import { RawClient } from "./raw-client.ts";
import { request } from "./records.ts";
import { SpanKeeper } from "./spans.ts";
import { until } from "./until.ts";

/** A stage: a module's name, or all of a stage. */
export type StageInit = string | MessageInitShape<typeof StageSchema>;

/** What a test server is started with. */
export interface TestServerOptions {
  /** Default: one worker, one spare. */
  readonly limits?: Partial<Limits>;
  /** Modules to load, each by its name. */
  readonly modules?: Readonly<Record<string, ModuleSource>>;
  /** Pipelines to put. Each module is one of its own already, of the same name. */
  readonly pipelines?: Readonly<Record<string, readonly StageInit[]>>;
  /** Whether to listen for HTTP. Default false. */
  readonly http?: boolean;
  /** Whether to keep spans. Default false. */
  readonly spans?: boolean;
  /** The server's time. Default: the machine's. */
  readonly clock?: Clock;
  /** Where modules, pipelines and dead letters outlive the server. Default: nowhere. */
  readonly dataFolder?: string;
  /** Where modules are, in place of the kit's own store. */
  readonly moduleStore?: ModuleStore;
  /** Where it is written down what there is. Default: in memory. */
  readonly registryStore?: RegistryStore;
  /** Keeps dead letters. Default: nothing does. */
  readonly deadLetters?: DeadLetterSink;
  /** Further options of the server. */
  readonly server?: Partial<ServerOptions>;
  /** Further options of the kit's own client. */
  readonly client?: LeatOptions;
}

/** Limits under which {@link TestServer.hold} keeps the only worker for as long as the test wants. */
export const holdingLimits: Partial<Limits> = {
  maxWorkers: 1,
  maxExtraWorkers: 0,
  maxStallMs: 600_000,
  maxRecordExecutionMs: 600_000,
  maxBatchExecutionMs: 600_000,
};

/** A store of modules that tells how many it has. */
export class CountedModules extends MemoryModuleStore {
  readonly #digests = new Set<string>();

  /** How many binaries there are. */
  get size(): number {
    return this.#digests.size;
  }

  override async put(digest: string, wasm: Uint8Array): Promise<void> {
    await super.put(digest, wasm);
    this.#digests.add(digest);
  }

  override async delete(digest: string): Promise<void> {
    await super.delete(digest);
    this.#digests.delete(digest);
  }
}

const running = new Set<TestServer>();

/** Starts a server on free ports of 127.0.0.1. */
export async function startTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  const spans = new SpanKeeper();
  const modules = new CountedModules();
  const server = await startServer({
    ...(options.dataFolder === undefined
      ? { moduleStore: options.moduleStore ?? modules }
      : { dataFolder: options.dataFolder }),
    ...(options.registryStore === undefined ? {} : { registryStore: options.registryStore }),
    grpcAddress: "127.0.0.1:0",
    httpAddress: options.http === true ? "127.0.0.1:0" : false,
    limits: { maxWorkers: 1, ...options.limits },
    telemetryEnv: { OTEL_SDK_DISABLED: "true" },
    ...(options.spans === true ? { tracer: spans.tracer } : {}),
    ...(options.clock === undefined ? {} : { clock: options.clock }),
    ...(options.deadLetters === undefined ? {} : { deadLetters: options.deadLetters }),
    ...options.server,
  });
  const kit = new TestServer(server, spans, modules, options.client);
  running.add(kit);
  try {
    for (const [name, source] of Object.entries(options.modules ?? {})) {
      await kit.load(name, source);
      await kit.put(name, [name]);
    }
    for (const [name, stages] of Object.entries(options.pipelines ?? {})) await kit.put(name, stages);
  } catch (error) {
    await server.close();
    throw error;
  }
  return kit;
}

/** A server that runs, with clients. */
export class TestServer implements AsyncDisposable {
  readonly server: LeatServer;
  /** For plain calls. */
  readonly raw: RawClient;
  /** The SDK. */
  readonly leat: Leat;
  /** The server's spans, when asked for. */
  readonly spans: SpanKeeper;
  /** Where the server keeps modules. */
  readonly modules: CountedModules;

  constructor(
    server: LeatServer,
    spans: SpanKeeper,
    modules: CountedModules,
    client: LeatOptions | undefined,
  ) {
    this.server = server;
    this.spans = spans;
    this.modules = modules;
    this.raw = new RawClient(this.address);
    this.leat = new Leat({ address: this.address, ...client });
  }

  /** Where gRPC listens. */
  get address(): string {
    return `127.0.0.1:${this.server.grpcPort}`;
  }

  /** Where HTTP listens, as the beginning of URLs. */
  get url(): string {
    return `http://127.0.0.1:${this.server.httpPort}`;
  }

  /** Loads a module. */
  async load(name: string, source: ModuleSource, version = ""): Promise<void> {
    await this.leat.modules.loadModule({ name, version, wasm: await moduleBytes(source) });
  }

  /** Puts a pipeline. Stages that are given by module alone are named s1, s2 and so on, or after the module if there is but one. */
  async put(name: string, stages: readonly StageInit[]): Promise<void> {
    await this.leat.pipelines.putPipeline({
      pipeline: {
        name,
        stages: stages.map((stage, index) => {
          const init = create(StageSchema, typeof stage === "string" ? { module: stage } : stage);
          // Tests break modules again and again; those about breakers say so.
          init.breaker ??= create(BreakerPolicySchema, { disabled: true });
          if (init.name === "" && stages.length > 1) init.name = `s${index + 1}`;
          return init;
        }),
      },
    });
  }

  /** All figures. */
  async metrics() {
    const { snapshot } = await this.leat.metrics.metrics({});
    if (snapshot === undefined) throw new Error("metrics without a snapshot");
    return snapshot;
  }

  /** The figures of one pipeline that has run. */
  async pipelineMetrics(pipeline: string) {
    const { pipelines } = await this.metrics();
    const found = pipelines.find((each) => each.pipeline === pipeline);
    if (found === undefined) throw new Error(`no figures of ${pipeline}`);
    return found;
  }

  /**
   * Keeps a worker busy, until released, with a guest that runs until its call is cancelled. Needs `marked` as a pipeline
   * and {@link holdingLimits}.
   */
  async hold(pipeline = "marked"): Promise<{ release(): Promise<void> }> {
    const { admission } = this.server.stats;
    const before = admission.batches;
    const { response, cancel } = this.raw.begin(request(pipeline, "~"));
    const ended = response.then(
      () => Promise.reject(new Error("a call that only cancelling ends has ended")),
      () => undefined,
    );
    await until(() => admission.batches > before, "the holding call is admitted");
    return {
      release: async () => {
        cancel();
        await ended;
      },
    };
  }

  /** Resolves when nothing is under way, and rejects when something stays. */
  async idle(longestMs?: number): Promise<void> {
    const { admission } = this.server.stats;
    const left = (): string[] => [
      ...(admission.batches === 0 ? [] : [`${admission.batches} batches admitted`]),
      ...(admission.bytes === 0 ? [] : [`${admission.bytes} bytes admitted`]),
      ...(admission.streams === 0 ? [] : [`${admission.streams} streams open`]),
      ...heldThings(),
    ];
    try {
      await until(() => left().length === 0, "everything was given back", longestMs);
    } catch (cause) {
      throw new Error(`left behind: ${left().join("; ")}`, { cause });
    }
  }

  /** Closes clients and server, and fails if anything was left behind. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.leat.close();
    this.raw.close();
    try {
      await this.idle();
    } finally {
      await this.server.close();
      running.delete(this);
    }
    if (running.size > 0) return;
    const threads = liveThreads();
    if (threads.length > 0) throw new Error(`${threads.length} worker threads outlived their server`);
  }
}
