/**
 * The server's configuration from all its sources: defaults, then `leat.yaml`, then `LEAT_*`
 * variables, then flags.
 *
 * @module
 */

import { AssertionError } from "node:assert";
import { existsSync, readFileSync } from "node:fs";
import { dirname, relative, resolve } from "node:path";
import { type Limits, resolveLimits } from "../limits.ts";
import type { LogLevel } from "../telemetry/logger.ts";
import { ConfigError, type ConfigProblem, nearest, unknownName } from "./config-error.ts";
import { type Address, formatAddress } from "./kinds.ts";
import {
  type ConfigInput,
  type ConfigKey,
  configKeys,
  configSchema,
  defaultGrpcAddress,
  defaultHttpAddress,
  defaultLogLevel,
  limitsElsewhere,
} from "./schema.ts";
import { type Layer, type Origin, type Setting, settingsOf } from "./settings.ts";
import type { SignatureMode } from "./signing-keys.ts";
import { check, formatPath, type Path } from "./validate.ts";
import { readYaml } from "./yaml-text.ts";

/** Where a configuration comes from. */
export interface ConfigSources {
  /** The path of `leat.yaml`; false for none. Default: `LEAT_CONFIG`, else `leat.yaml` in the current folder if there is one. */
  file?: string | false | undefined;
  /** The text of the file, in place of what it has now. */
  text?: string | undefined;
  /** Told the text of the file as soon as it is read. */
  onText?: (text: string | undefined) => void;
  /** What a program gives, unchecked, below all else. */
  base?: ConfigInput;
  /** What was set while the server runs, by key, over all else. */
  overrides?: Readonly<Record<string, unknown>>;
  /** The environment. */
  env: Readonly<Record<string, string | undefined>>;
  /** Flags by key, as `{ "grpc.address": "0.0.0.0:7070" }`; those that are undefined were not given. */
  flags: Readonly<Record<string, unknown>>;
  /** The current folder. Default: the process's. */
  folder?: string;
}

/** The files of the server's certificates. */
export interface TlsConfig {
  readonly cert: string;
  readonly key: string;
  readonly clientCa: string | undefined;
  readonly clientAuth: "required" | "optional";
}

/** A configuration that is complete and fits together. */
export interface ResolvedConfig {
  /** Where gRPC listens. */
  readonly grpc: Address;
  /** Where HTTP listens; undefined where it does not. */
  readonly http: Address | undefined;
  /** The names under which HTTP may be called; undefined for the usual ones. */
  readonly httpHosts: readonly string[] | undefined;
  /** The files of the server's certificates, absolute; undefined for no TLS. */
  readonly tls: TlsConfig | undefined;
  /** The access file, absolute; undefined where everybody may do everything. */
  readonly accessFile: string | undefined;
  /** What is asked of modules' signatures, and the list of keys, absolute. */
  readonly signatures: { readonly mode: SignatureMode; readonly keysFile: string | undefined };
  /** Whether others may reach the server although it has no TLS or no access file. */
  readonly insecureExpose: boolean;
  /** The folder of modules to load at start, absolute. */
  readonly modulesFolder: string | undefined;
  /** The file of pipelines to store at start, absolute. */
  readonly pipelinesFile: string | undefined;
  /** The folder for what outlives the server, absolute. */
  readonly dataFolder: string | undefined;
  /** What becomes of a change whose audit entry cannot be written. */
  readonly auditOnFailure: "refuse" | "warn";
  /** Whether a second process stands by. */
  readonly standby: boolean;
  /** Where modules run. */
  readonly isolation: "thread" | "process";
  /** Whether the server counts as serving only while its data folder can be written to. */
  readonly healthNeedsStore: boolean;
  /** What is logged. */
  readonly logLevel: LogLevel;
  /** The bounds under which the server runs. */
  readonly limits: Readonly<Limits>;
  /** The share of traces that begin here and are recorded; undefined where `OTEL_TRACES_SAMPLER` decides, or for all. */
  readonly sampleRatio: number | undefined;
  /** Whether the file is taken anew when it changes. */
  readonly watch: boolean;
  /** Every key with its value and where that comes from. */
  readonly settings: ReadonlyMap<string, Setting>;
  /** The text of the file; undefined where there is none. */
  readonly text: string | undefined;
  /** The environment for telemetry: `OTEL_*` as set, else as the configuration says. */
  readonly telemetryEnv: Readonly<Record<string, string | undefined>>;
  /** The `leat.yaml` that was read, absolute; undefined where there was none. */
  readonly file: string | undefined;
  /** What may be a mistake, for the log: `LEAT_*` variables that look mistyped. */
  readonly warnings: readonly string[];
}

/**
 * Resolves the configuration.
 *
 * @throws ConfigError with all mistakes of all sources
 */
export function resolveConfig(sources: ConfigSources): ResolvedConfig {
  const { env, flags, folder = process.cwd(), base = {}, overrides = {} } = sources;
  const file = sources.file === false ? undefined : findFile(sources.file || env["LEAT_CONFIG"], folder);
  const problems: ConfigProblem[] = [];
  const flat = (
    origin: Origin,
    values: ReadonlyMap<string, unknown>,
    where: (key: ConfigKey) => string,
  ): Layer => ({ origin, folder, where, input: readFlatLayer(values, where, problems) });
  const read = file === undefined ? undefined : readFile(file, sources, problems);
  const layers: Layer[] = [
    { origin: "program", folder, where: () => "", input: base },
    ...(file === undefined || read === undefined
      ? []
      : [readFileLayer(read, dirname(file), relative(folder, file), problems)]),
    flat("environment", variablesByKey(env), ({ env: name }) => name),
    flat("flag", new Map(Object.entries(flags)), ({ flag }) => flag),
    flat("rpc", new Map(Object.entries(overrides)), ({ key }) => key),
  ];
  if (problems.length > 0) throw new ConfigError(problems);
  const resolved = { ...combine(layers, env, file), settings: settingsOf(layers, env), text: read };
  if (resolved.http?.port && formatAddress(resolved.http) === formatAddress(resolved.grpc)) {
    const problem = `${formatAddress(resolved.http)} is the address of grpc.address, too; give each its own`;
    throw new ConfigError([{ where: "", key: "http.address", problem }]);
  }
  return resolved;
}

function findFile(given: string | undefined, folder: string): string | undefined {
  if (given) return resolve(folder, given);
  const usual = resolve(folder, "leat.yaml");
  return existsSync(usual) ? usual : undefined;
}

function readFile(file: string, sources: ConfigSources, problems: ConfigProblem[]): string | undefined {
  if (sources.text !== undefined) return sources.text;
  try {
    const text = readFileSync(file, "utf8");
    sources.onText?.(text);
    return text;
  } catch (error) {
    const where = relative(sources.folder ?? process.cwd(), file);
    problems.push({ where, key: "", problem: `cannot be read: ${messageOf(error)}` });
    return undefined;
  }
}

function readFileLayer(source: string, folder: string, name: string, problems: ConfigProblem[]): Layer {
  const empty: Layer = { origin: "file", folder, where: () => name, input: {} };
  try {
    const [document, ...more] = readYaml(source, name);
    if (more.length > 0) {
      problems.push({ where: name, key: "", problem: `has ${more.length + 1} documents; give one` });
    }
    if (document === undefined || document.value === null) return empty;
    const checked = check(configSchema, document.value, document.where);
    if (checked.ok)
      return { ...empty, input: checked.value, where: ({ key }) => document.where(key.split(".")) };
    problems.push(...checked.problems.map(pointElsewhere));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    problems.push(...error.problems);
  }
  return empty;
}

const keysByName = new Map(configKeys.map((entry) => [entry.key, entry]));
const keysByVariable = new Map(configKeys.map((entry) => [entry.env, entry]));

/** The variables that set a key. An empty one counts as not set, as is usual in container files. */
function variablesByKey(env: ConfigSources["env"]): Map<string, string> {
  const found = new Map<string, string>();
  for (const [name, { key }] of keysByVariable) {
    const value = env[name];
    if (value !== undefined && value !== "") found.set(key, value);
  }
  return found;
}

/** Checks values by key, as variables and flags give them. */
function readFlatLayer(
  values: ReadonlyMap<string, unknown>,
  where: (key: ConfigKey) => string,
  problems: ConfigProblem[],
): ConfigInput {
  const nested: Record<string, unknown> = {};
  for (const [name, value] of values) {
    if (value === undefined) continue;
    if (keysByName.has(name)) setAt(nested, name.split("."), value);
    else problems.push({ where: "flag", key: name, problem: unknownName(name, [...keysByName.keys()]) });
  }
  const nameOf = (path: Path) => {
    const entry = keysByName.get(formatPath(path));
    return entry === undefined ? "" : where(entry);
  };
  const checked = check(configSchema, nested, nameOf);
  if (checked.ok) return checked.value;
  problems.push(...checked.problems);
  return {};
}

/** Tells where to set a limit that is not under `limits`. */
function pointElsewhere(problem: ConfigProblem): ConfigProblem {
  const elsewhere = new Map(Object.entries(limitsElsewhere)).get(problem.key.replace(/^limits\./, ""));
  return elsewhere === undefined ? problem : { ...problem, problem: `unknown key; set ${elsewhere} instead` };
}

function setAt(target: Record<string, unknown>, path: readonly string[], value: unknown): void {
  const [first = "", ...rest] = path;
  if (rest.length === 0) {
    target[first] = value;
    return;
  }
  const inner = (target[first] ?? {}) as Record<string, unknown>;
  target[first] = inner;
  setAt(inner, rest, value);
}

function combine(
  layers: readonly Layer[],
  env: ConfigSources["env"],
  file: string | undefined,
): Omit<ResolvedConfig, "settings" | "text"> {
  /** The last layer that sets something decides. */
  function last<T>(read: (input: ConfigInput, folder: string) => T | undefined): T | undefined {
    return layers.reduce<T | undefined>(
      (found, { input, folder }) => read(input, folder) ?? found,
      undefined,
    );
  }
  const path = (read: (input: ConfigInput) => string | undefined): string | undefined =>
    last((input, folder) => {
      const written = read(input);
      return written === undefined ? undefined : resolve(folder, written);
    });
  const http = last(({ http }) => http?.address) ?? defaultHttpAddress;
  const signatures = signaturesOf(
    last(({ signatures: written }) => written?.policy),
    path(({ signatures: written }) => written?.keys),
  );
  return {
    grpc: last(({ grpc }) => grpc?.address) ?? defaultGrpcAddress,
    http: http === false ? undefined : http,
    httpHosts: last(({ http }) => http?.hosts),
    tls: tlsOf({
      cert: path(({ tls }) => tls?.cert),
      key: path(({ tls }) => tls?.key),
      clientCa: path(({ tls }) => tls?.clientCa),
      clientAuth: last(({ tls }) => tls?.clientAuth),
    }),
    accessFile: path(({ access }) => access),
    signatures,
    insecureExpose: last(({ insecure }) => insecure?.expose) ?? false,
    modulesFolder: path(({ modules }) => modules),
    pipelinesFile: path(({ pipelines }) => pipelines),
    dataFolder: path(({ data }) => data),
    auditOnFailure: last(({ audit }) => audit?.onFailure) ?? "refuse",
    standby: last(({ standby }) => standby) ?? true,
    isolation: last(({ isolation }) => isolation) ?? "thread",
    healthNeedsStore: last(({ health }) => health?.needsStore) ?? false,
    logLevel: last(({ log }) => log?.level) ?? defaultLogLevel,
    limits: combineLimits(
      Object.assign({}, ...layers.map(({ input }) => input.limits)) as Partial<Limits>,
      last(({ workers }) => workers),
      last(({ drain }) => drain),
    ),
    telemetryEnv: telemetryEnvironment(env, {
      serviceName: last(({ telemetry }) => telemetry?.serviceName),
      otlpEndpoint: last(({ telemetry }) => telemetry?.otlpEndpoint),
    }),
    sampleRatio: env["OTEL_TRACES_SAMPLER"] ? undefined : last(({ telemetry }) => telemetry?.sampleRatio),
    watch: last(({ config }) => config?.watch) ?? true,
    file,
    warnings: [...mistypedVariables(env), ...unusedKeys(signatures)],
  };
}

/** @throws ConfigError when a part is missing without which the others mean nothing */
function tlsOf({ cert, key, clientCa, clientAuth }: NonNullable<ConfigInput["tls"]>): TlsConfig | undefined {
  if (cert !== undefined && key !== undefined) {
    return { cert, key, clientCa, clientAuth: clientAuth ?? "required" };
  }
  const missing = cert === undefined ? "tls.cert" : "tls.key";
  if ((cert ?? key ?? clientCa ?? clientAuth) === undefined) return undefined;
  throw new ConfigError([
    { where: "", key: missing, problem: "is not set; TLS needs a certificate and its key" },
  ]);
}

/** @throws ConfigError when signatures are asked for, and none could count */
function signaturesOf(
  mode: SignatureMode = "off",
  keysFile: string | undefined,
): ResolvedConfig["signatures"] {
  if (mode === "off" || keysFile !== undefined) return { mode, keysFile };
  const problem = `is not set; signatures.policy is ${mode}, and needs the list of keys whose signatures count`;
  throw new ConfigError([{ where: "", key: "signatures.keys", problem }]);
}

function unusedKeys({ mode, keysFile }: ResolvedConfig["signatures"]): string[] {
  const unused = mode === "off" && keysFile !== undefined;
  return unused ? ["signatures.keys is set, and signatures.policy is off: no signature is looked at"] : [];
}

function combineLimits(
  overrides: Partial<Limits>,
  maxWorkers: number | undefined,
  maxDrainMs: number | undefined,
): Readonly<Limits> {
  return checkedLimits({
    ...overrides,
    ...(maxWorkers === undefined ? {} : { maxWorkers }),
    ...(maxDrainMs === undefined ? {} : { maxDrainMs }),
  });
}

/** The limits with their defaults. @throws ConfigError when they do not fit together */
export function checkedLimits(given: Partial<Limits>): Readonly<Limits> {
  try {
    return resolveLimits(given);
  } catch (error) {
    if (!(error instanceof AssertionError)) throw error;
    const complete: Readonly<Record<string, number>> = { ...resolveLimits(), ...given };
    const named = [...new Set(error.message.match(/\b[a-z]+[A-Z]\w*/g))].filter((name) => name in complete);
    const values = named.map((name) => `${name} is ${complete[name]}`).join(", ");
    throw new ConfigError([{ where: "", key: "limits", problem: `${error.message} (${values})` }]);
  }
}

/** What the configuration says, as the variables that OpenTelemetry reads; those that are set go before it. */
function telemetryEnvironment(
  env: ConfigSources["env"],
  telemetry: Omit<NonNullable<ConfigInput["telemetry"]>, "sampleRatio">,
): Record<string, string | undefined> {
  const { serviceName, otlpEndpoint } = telemetry;
  const said: Record<string, string> = {};
  if (serviceName !== undefined) said["OTEL_SERVICE_NAME"] = serviceName;
  if (otlpEndpoint !== undefined) said["OTEL_EXPORTER_OTLP_ENDPOINT"] = otlpEndpoint;
  const set = Object.entries(env).filter(([name, value]) => name.startsWith("OTEL_") && value);
  return { ...said, ...Object.fromEntries(set) };
}

/**
 * Variables that look like mistyped ones of ours. Not a mistake: other programs name variables
 * `LEAT_…`, too, such as Kubernetes for a service that is called leat.
 */
function mistypedVariables(env: ConfigSources["env"]): string[] {
  const known = [...keysByVariable.keys(), "LEAT_CONFIG"];
  return Object.keys(env)
    .filter((name) => name.startsWith("LEAT_") && !known.includes(name))
    .flatMap((name) => {
      const meant = nearest(
        name.slice(5),
        known.map((other) => other.slice(5)),
      );
      return meant === undefined ? [] : [`${name} sets nothing; did you mean LEAT_${meant}?`];
    });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
