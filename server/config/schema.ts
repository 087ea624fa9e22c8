/**
 * `leat.yaml` as users write it: every key, the values it takes, its default and what it is for.
 * The same keys are set by environment variables and flags; {@link configKeys} lists them all.
 *
 * @module
 */

import type { z } from "zod";
import { limitChanges } from "../limit-changes.ts";
import { defaultLimits, type Limits } from "../limits.ts";
import { type LogLevel, logLevels } from "../telemetry/logger.ts";
import {
  type Address,
  address,
  addressOrFalse,
  count,
  formatAddress,
  hostNames,
  isSize,
  type Kind,
  oneOf,
  ratio,
  shortSize,
  shortTime,
  size,
  text,
  time,
  toggle,
  url,
} from "./kinds.ts";
import { type SignatureMode, signatureModes } from "./signing-keys.ts";
import { mapping, value } from "./validate.ts";

/** Where gRPC listens unless told otherwise: on this machine only. */
export const defaultGrpcAddress: Address = { host: "127.0.0.1", port: 7070 };
/** Where HTTP listens unless told otherwise: on this machine only. */
export const defaultHttpAddress: Address = { host: "127.0.0.1", port: 7071 };
/** What is logged unless told otherwise. */
export const defaultLogLevel: LogLevel = "info";

/** One key of the configuration. */
export interface ConfigKey<T = unknown> {
  /** The key, as `grpc.address`. */
  readonly key: string;
  /** The kind of its values. */
  readonly kind: Kind<T>;
  /** The default, as documentation shows it. */
  readonly defaultText: string;
  /** What it is for; undefined for a limit, which `server/limits.ts` describes. */
  readonly description: string | undefined;
  /** The environment variable that sets it: `LEAT_GRPC_ADDRESS`. */
  readonly env: string;
  /** The flag of `leat serve` that sets it: `--grpc-address`. */
  readonly flag: string;
  /** Whether it may change while the server runs, or takes a restart. */
  readonly change: KeyChange;
  /** Whether its value is the path of a file or folder. */
  readonly isPath: boolean;
}

/** What a change of a key takes. */
export type KeyChange = "live" | "restart";

/** Limits that have a key of their own at the top, so that each can be set in one place only. */
export const limitsElsewhere = { maxWorkers: "workers", maxDrainMs: "drain" } as const;

/** A limit that is set under `limits`. */
export type LimitKey = Exclude<keyof Limits, keyof typeof limitsElsewhere>;

/** The limits under which nothing of their kind may be had at all: 0 makes sense there. */
const limitsFrom0: ReadonlySet<LimitKey> = new Set<LimitKey>([
  "maxInlinePipelines",
  "maxCancelGraceMs",
  "maxSpareWorkers",
  "maxCoalescedCalls",
  "maxCoalescedBytes",
  "maxCoalescedMs",
  "maxFailureMessages",
  "maxFailureEventsPerTrace",
  "laneOffences",
  "maxWorkerStops",
  "maxLogLinesPerSecond",
  "maxStageLogLinesPerSecond",
  "maxFormerStages",
  "maxCountersPerStage",
  "maxRestarts",
  "maxRememberedTokens",
  "maxTokenRememberedMs",
  "maxClockSkewMs",
  "maxRefusalLinesPerSecond",
  "maxAuditRefusalsPerMinute",
]);

/** The limits that `leat.yaml` has under `limits`. */
export const limitKeys: readonly LimitKey[] = (Object.keys(defaultLimits) as (keyof Limits)[]).filter(
  (name): name is LimitKey => !Object.hasOwn(limitsElsewhere, name),
);

function limitKind(name: LimitKey): Kind<number> {
  const min = limitsFrom0.has(name) ? 0 : 1;
  if (isSize(name)) return size(min);
  return name.endsWith("Ms") ? time(min) : count(min);
}

/** A path that must be there for its key to mean anything. */
const path = text("the path of a file or folder");

const keys = {
  grpcAddress: key("grpc.address", address, formatAddress(defaultGrpcAddress), "Where gRPC clients connect."),
  httpAddress: key(
    "http.address",
    addressOrFalse,
    formatAddress(defaultHttpAddress),
    "Where Connect, gRPC-Web and curl connect, and where `/metrics`, `/healthz` and `/readyz` are; `false` closes this door.",
  ),
  httpHosts: key(
    "http.hosts",
    hostNames,
    "localhost and IP addresses where HTTP is for this machine alone, else any",
    "The names under which HTTP may be called, beside IP addresses. Requests by other names, and from pages of other sites, are refused.",
  ),
  tlsCert: key(
    "tls.cert",
    path,
    "none: no TLS",
    "The server's certificate with its chain, PEM, for both ports. Taken anew when the file changes. Needs `tls.key`.",
  ),
  tlsKey: key(
    "tls.key",
    path,
    "none",
    "The certificate's private key, PEM. Taken anew when the file changes.",
  ),
  tlsClientCa: key(
    "tls.clientCa",
    path,
    "none: clients show no certificate",
    "The authorities whose client certificates are trusted, PEM. Taken anew when the file changes.",
  ),
  tlsClientAuth: key(
    "tls.clientAuth",
    oneOf(["required", "optional"] as const),
    "required",
    "Whether clients must show a certificate, where `tls.clientCa` is set.",
  ),
  access: key(
    "access",
    path,
    "none: everybody may do everything",
    "The access file: who may call, and what for ([security.md](security.md)). Taken anew when it changes.",
  ),
  signaturePolicy: key(
    "signatures.policy",
    oneOf(signatureModes),
    "off",
    "What is asked of modules ([security.md](security.md#signed-modules)): `off` looks at no signature, `warn` takes every module and logs what is wrong, `require` takes and runs none without a signature that counts.",
  ),
  signatureKeys: key(
    "signatures.keys",
    path,
    "none",
    "The list of keys whose signatures count. Taken anew when it or a key's file changes.",
  ),
  insecureExpose: key(
    "insecure.expose",
    toggle,
    "false",
    "Lets a server be reached from other machines that has no TLS or no access file.",
  ),
  modules: key(
    "modules",
    path,
    "none",
    "A folder of modules to load at start. Taken from the folder of `leat.yaml` where it is set there.",
  ),
  pipelines: key(
    "pipelines",
    path,
    "none",
    "A file of pipelines to store at start. Taken from the folder of `leat.yaml` where it is set there.",
  ),
  data: key(
    "data",
    path,
    "none: modules, pipelines and dead letters are lost when the server ends",
    "A folder for what shall outlive the server: modules, pipelines, dead letters, the quarantine. Made where it is missing. Taken from the folder of `leat.yaml` where it is set there.",
  ),
  auditOnFailure: key(
    "audit.onFailure",
    oneOf(["refuse", "warn"] as const),
    "refuse",
    "What becomes of a change whose audit entry cannot be written: `refuse` refuses it before anything is changed, `warn` makes it and tells the log.",
  ),
  workers: key(
    "workers",
    count(1),
    "cores - 1, at least 1",
    "Worker threads that run batches (the limit `maxWorkers`).",
  ),
  isolation: key(
    "isolation",
    oneOf(["thread", "process"] as const),
    "thread",
    "Where modules run: in threads of the server's process, or in processes of their own, which share no memory with it and may use neither files nor the network. A stage can ask for a process by itself.",
  ),
  drain: key(
    "drain",
    time(0),
    shortTime(defaultLimits.maxDrainMs),
    "How long a server that was told to end waits for work in flight (the limit `maxDrainMs`).",
  ),
  standby: key(
    "standby",
    toggle,
    "true",
    "Whether `leat serve` keeps a second process ready that takes over when the server's dies. It holds about 90 MiB and does nothing.",
  ),
  healthNeedsStore: key(
    "health.needsStore",
    toggle,
    "false",
    "Whether the server, and pipelines that keep dead letters, count as serving only while the data folder can be written to.",
  ),
  configWatch: key(
    "config.watch",
    toggle,
    "true",
    "Whether the file of the configuration is taken anew when it changes, besides on SIGHUP and `leat config reload`.",
  ),
  logLevel: key(
    "log.level",
    oneOf(logLevels),
    defaultLogLevel,
    "What is less important than this is not logged.",
  ),
  serviceName: key(
    "telemetry.serviceName",
    text("a name"),
    "leat",
    "The name under which traces and metrics are exported. `OTEL_SERVICE_NAME` goes before it.",
  ),
  otlpEndpoint: key(
    "telemetry.otlpEndpoint",
    url,
    "none: nothing is exported",
    "The OTLP collector that traces and metrics are exported to. `OTEL_EXPORTER_OTLP_ENDPOINT` goes before it.",
  ),
  sampleRatio: key(
    "telemetry.sampleRatio",
    ratio,
    "1",
    "The share of traces that begin here and are recorded; others follow their caller. `OTEL_TRACES_SAMPLER` goes before it.",
  ),
} as const;

/** What a change of each key takes. A key that is not in it does not compile; limits have `server/limit-changes.ts`. */
const keyChanges: Readonly<Record<keyof typeof keys, KeyChange>> = {
  grpcAddress: "restart",
  httpAddress: "restart",
  httpHosts: "restart",
  tlsCert: "restart",
  tlsKey: "restart",
  tlsClientCa: "restart",
  tlsClientAuth: "restart",
  access: "restart",
  signaturePolicy: "live",
  signatureKeys: "live",
  insecureExpose: "restart",
  modules: "restart",
  pipelines: "restart",
  data: "restart",
  auditOnFailure: "restart",
  workers: "live",
  isolation: "restart",
  drain: "live",
  standby: "restart",
  healthNeedsStore: "restart",
  configWatch: "restart",
  logLevel: "live",
  serviceName: "restart",
  otlpEndpoint: "restart",
  sampleRatio: "live",
};

/** A key without what its change takes. */
type KeyInit<T> = Omit<ConfigKey<T>, "change">;

function key<T>(name: string, kind: Kind<T>, defaultText: string, description?: string): KeyInit<T> {
  const words = name.replace(/([a-z0-9])([A-Z])/g, "$1.$2").split(".");
  return {
    key: name,
    kind,
    defaultText,
    description,
    isPath: (kind as Kind<unknown>) === path,
    env: `LEAT_${words.join("_").toUpperCase()}`,
    flag: name.startsWith("limits.") ? `--limit ${name.slice(7)}` : `--${words.join("-").toLowerCase()}`,
  };
}

/** Every key, in the order in which documentation shows them: the source of docs, variables and flags. */
export const configKeys: readonly ConfigKey[] = [
  ...Object.entries(keys).map(([name, entry]) => ({
    ...entry,
    change: keyChanges[name as keyof typeof keys],
  })),
  ...limitKeys.map((name) => ({
    ...key(`limits.${name}`, limitKind(name), limitDefault(name)),
    change: limitChanges[name] === "restart" ? ("restart" as const) : ("live" as const),
  })),
];

function limitDefault(name: LimitKey): string {
  const limit = defaultLimits[name];
  if (name.endsWith("Ms")) return shortTime(limit);
  return isSize(name) ? shortSize(limit) : String(limit);
}

/** The configuration as one source sets it: what is not set is not there. */
export interface ConfigInput {
  grpc?: { address?: Address | undefined } | undefined;
  http?: { address?: Address | false | undefined; hosts?: readonly string[] | undefined } | undefined;
  tls?:
    | {
        cert?: string | undefined;
        key?: string | undefined;
        clientCa?: string | undefined;
        clientAuth?: "required" | "optional" | undefined;
      }
    | undefined;
  access?: string | undefined;
  signatures?: { policy?: SignatureMode | undefined; keys?: string | undefined } | undefined;
  insecure?: { expose?: boolean | undefined } | undefined;
  modules?: string | undefined;
  pipelines?: string | undefined;
  data?: string | undefined;
  audit?: { onFailure?: "refuse" | "warn" | undefined } | undefined;
  workers?: number | undefined;
  drain?: number | undefined;
  isolation?: "thread" | "process" | undefined;
  standby?: boolean | undefined;
  health?: { needsStore?: boolean | undefined } | undefined;
  config?: { watch?: boolean | undefined } | undefined;
  log?: { level?: LogLevel | undefined } | undefined;
  telemetry?:
    | {
        serviceName?: string | undefined;
        otlpEndpoint?: string | undefined;
        sampleRatio?: number | undefined;
      }
    | undefined;
  limits?: Partial<Record<LimitKey, number | undefined>> | undefined;
}

const limitShape = Object.fromEntries(
  limitKeys.map((name) => [name, value(limitKind(name)).optional()] as const),
);

/** Checks what one source sets. */
export const configSchema: z.ZodType<ConfigInput> = mapping({
  grpc: mapping({ address: value(keys.grpcAddress.kind).optional() }).optional(),
  http: mapping({
    address: value(keys.httpAddress.kind).optional(),
    hosts: value(keys.httpHosts.kind).optional(),
  }).optional(),
  tls: mapping({
    cert: value(keys.tlsCert.kind).optional(),
    key: value(keys.tlsKey.kind).optional(),
    clientCa: value(keys.tlsClientCa.kind).optional(),
    clientAuth: value(keys.tlsClientAuth.kind).optional(),
  }).optional(),
  access: value(keys.access.kind).optional(),
  signatures: mapping({
    policy: value(keys.signaturePolicy.kind).optional(),
    keys: value(keys.signatureKeys.kind).optional(),
  }).optional(),
  insecure: mapping({ expose: value(keys.insecureExpose.kind).optional() }).optional(),
  modules: value(keys.modules.kind).optional(),
  pipelines: value(keys.pipelines.kind).optional(),
  data: value(keys.data.kind).optional(),
  audit: mapping({ onFailure: value(keys.auditOnFailure.kind).optional() }).optional(),
  workers: value(keys.workers.kind).optional(),
  drain: value(keys.drain.kind).optional(),
  isolation: value(keys.isolation.kind).optional(),
  standby: value(keys.standby.kind).optional(),
  health: mapping({ needsStore: value(keys.healthNeedsStore.kind).optional() }).optional(),
  config: mapping({ watch: value(keys.configWatch.kind).optional() }).optional(),
  log: mapping({ level: value(keys.logLevel.kind).optional() }).optional(),
  telemetry: mapping({
    serviceName: value(keys.serviceName.kind).optional(),
    otlpEndpoint: value(keys.otlpEndpoint.kind).optional(),
    sampleRatio: value(keys.sampleRatio.kind).optional(),
  }).optional(),
  limits: mapping(limitShape).optional(),
});
