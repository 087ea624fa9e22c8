import type { DescService } from "@bufbuild/protobuf";
import type { CallOptions, Client, Transport } from "@connectrpc/connect";
import { createClient } from "@connectrpc/connect";
import {
  AuditService,
  ConfigService,
  DeadLetterService,
  Health,
  MetricsService,
  ModuleService,
  PipelineService,
  TransformService,
} from "@leat/proto";
import { LeatCallError } from "./errors.ts";

/**
 * A typed client for each of Leat's services.
 *
 * @example
 * import type { LeatClients } from "@leat/sdk";
 *
 * export async function moduleNames({ modules }: LeatClients): Promise<string[]> {
 *   return (await modules.listModules({})).modules.map(({ name }) => name);
 * }
 */
export interface LeatClients {
  /** The data plane, as generated. `Leat.transform` and `Leat.stream` are easier and cheaper. */
  readonly transforms: Client<typeof TransformService>;
  /** Loads, lists and unloads modules. */
  readonly modules: Client<typeof ModuleService>;
  /** Stores, lists and deletes pipelines. */
  readonly pipelines: Client<typeof PipelineService>;
  /** Reads the server's counters and times. */
  readonly metrics: Client<typeof MetricsService>;
  /** Shows records that pipelines gave up on, runs them again, removes them. */
  readonly deadLetters: Client<typeof DeadLetterService>;
  /** Shows who changed what, and checks that nobody has changed that log. */
  readonly audit: Client<typeof AuditService>;
  /** Shows the configuration of the server, and changes what may change while it runs. */
  readonly config: Client<typeof ConfigService>;
  /** Asks whether the server serves: a service by its name, a pipeline as `pipeline/NAME`. */
  readonly health: Client<typeof Health>;
}

/**
 * Makes the generated clients over any Connect transport. They throw ConnectError, as Connect's do;
 * those of a `Leat` throw LeatCallError.
 *
 * @example
 * import { createGrpcTransport, createLeatClients } from "@leat/sdk";
 *
 * using transport = createGrpcTransport({ address: process.env.LEAT_ADDRESS ?? "127.0.0.1:7070" });
 * const { pipelines } = createLeatClients(transport);
 * for (const { name, stages } of (await pipelines.listPipelines({})).pipelines) {
 *   console.log(name, stages.length);
 * }
 */
export function createLeatClients(transport: Transport): LeatClients {
  return {
    transforms: createClient(TransformService, transport),
    modules: createClient(ModuleService, transport),
    pipelines: createClient(PipelineService, transport),
    metrics: createClient(MetricsService, transport),
    deadLetters: createClient(DeadLetterService, transport),
    audit: createClient(AuditService, transport),
    config: createClient(ConfigService, transport),
    health: createClient(Health, transport),
  };
}

/**
 * As {@link createLeatClients}, but every error is a LeatCallError.
 *
 * @internal
 */
export function createThrowingClients(transport: Transport): LeatClients {
  const clients = createLeatClients(transport);
  return {
    transforms: withLeatErrors(TransformService, clients.transforms),
    modules: withLeatErrors(ModuleService, clients.modules),
    pipelines: withLeatErrors(PipelineService, clients.pipelines),
    metrics: withLeatErrors(MetricsService, clients.metrics),
    deadLetters: withLeatErrors(DeadLetterService, clients.deadLetters),
    audit: withLeatErrors(AuditService, clients.audit),
    config: withLeatErrors(ConfigService, clients.config),
    health: withLeatErrors(Health, clients.health),
  };
}

type AnyMethod = (input: unknown, options?: CallOptions) => Promise<unknown> | AsyncIterable<unknown>;

function withLeatErrors<Service extends DescService>(
  service: Service,
  client: Client<Service>,
): Client<Service> {
  const methods = client as Record<string, AnyMethod>;
  const wrapped: Record<string, AnyMethod> = {};
  for (const { localName, methodKind } of service.methods) {
    const method = methods[localName];
    if (method === undefined) continue;
    const answersOnce = methodKind === "unary" || methodKind === "client_streaming";
    wrapped[localName] = (input, options) =>
      answersOnce ? once(method, input, options) : many(method, input, options);
  }
  return wrapped as Client<Service>;
}

async function once(method: AnyMethod, input: unknown, options: CallOptions | undefined): Promise<unknown> {
  try {
    return await method(input, options);
  } catch (error) {
    throw LeatCallError.from(error);
  }
}

/** Connect's iterables do not end their call when a loop is left early; this one does. */
async function* many(
  method: AnyMethod,
  input: unknown,
  options: CallOptions | undefined,
): AsyncGenerator<unknown, void, undefined> {
  const controller = new AbortController();
  const signal = options?.signal ? AbortSignal.any([options.signal, controller.signal]) : controller.signal;
  try {
    yield* method(input, { ...options, signal }) as AsyncIterable<unknown>;
  } catch (error) {
    throw LeatCallError.from(error);
  } finally {
    controller.abort();
  }
}
