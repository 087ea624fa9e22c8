/**
 * The value of every key, and where it comes from: what `leat config show` and GetConfig tell.
 *
 * @module
 */

import { resolve } from "node:path";
import { defaultLimits } from "../limits.ts";
import { type Address, formatAddress, isSize, shortSize, shortTime } from "./kinds.ts";
import { type ConfigInput, type ConfigKey, configKeys } from "./schema.ts";

/** Where a value comes from, from the lowest to the highest; `program` is a program that started the server by itself. */
export type Origin = "default" | "program" | "file" | "environment" | "flag" | "rpc";

/** What one source sets. */
export interface Layer {
  readonly origin: Origin;
  readonly input: ConfigInput;
  /** Paths in this layer are relative to it. */
  readonly folder: string;
  /** Names the place of a key: `leat.yaml:3:12`, `LEAT_WORKERS`, `--workers`. */
  readonly where: (key: ConfigKey) => string;
}

/** A key's value. */
export interface Setting {
  readonly key: string;
  /** As the file would have it; empty where nothing is set and there is no default. Nothing secret. */
  readonly value: string;
  readonly origin: Origin;
  /** The place in that source; empty for a default. */
  readonly where: string;
}

/** The variables of OpenTelemetry that go before a key. */
const variablesBefore: Readonly<Record<string, string>> = {
  "telemetry.serviceName": "OTEL_SERVICE_NAME",
  "telemetry.otlpEndpoint": "OTEL_EXPORTER_OTLP_ENDPOINT",
  "telemetry.sampleRatio": "OTEL_TRACES_SAMPLER",
};

/** The variable that decides in place of a key, where it is set. */
export function variableBefore(
  key: string,
  env: Readonly<Record<string, string | undefined>>,
): string | undefined {
  const variable = variablesBefore[key];
  return variable !== undefined && env[variable] ? variable : undefined;
}

/** The values of all keys by key, in the order of the documentation. */
export function settingsOf(
  layers: readonly Layer[],
  env: Readonly<Record<string, string | undefined>>,
): ReadonlyMap<string, Setting> {
  return new Map(configKeys.map((entry) => [entry.key, settingOf(entry, layers, env)]));
}

function settingOf(
  entry: ConfigKey,
  layers: readonly Layer[],
  env: Readonly<Record<string, string | undefined>>,
): Setting {
  const { key } = entry;
  const variable = variableBefore(key, env);
  if (variable !== undefined)
    return { key, value: withoutSecrets(env[variable] ?? ""), origin: "environment", where: variable };
  const layer = layers.findLast(({ input }) => readAt(input, key) !== undefined);
  if (layer === undefined) return { key, value: shownDefault(entry), origin: "default", where: "" };
  const value = shownValue(entry, readAt(layer.input, key), layer.folder);
  return { key, value, origin: layer.origin, where: layer.where(entry) };
}

function readAt(input: ConfigInput, key: string): unknown {
  let found: unknown = input;
  for (const part of key.split(".")) found = (found as Record<string, unknown> | undefined)?.[part];
  return found;
}

/** A default in words is none. */
function shownDefault({ key, defaultText, kind }: ConfigKey): string {
  if (key === "workers") return String(defaultLimits.maxWorkers);
  return kind.parse(defaultText) === undefined || defaultText.startsWith("none") ? "" : defaultText;
}

/** A value as the file would have it. */
function shownValue({ key, isPath }: ConfigKey, value: unknown, folder: string): string {
  if (isPath) return resolve(folder, String(value));
  if (typeof value === "number" && key !== "workers") {
    if (isSize(key)) return shortSize(value);
    if (key.endsWith("Ms") || key === "drain") return shortTime(value);
  }
  if (Array.isArray(value)) return value.join(",");
  if (typeof value === "object" && value !== null) return formatAddress(value as Address);
  return withoutSecrets(String(value));
}

/** A URL without what somebody wrote before its host to authenticate with. */
function withoutSecrets(text: string): string {
  const url = URL.parse(text);
  return url !== null && (url.username !== "" || url.password !== "")
    ? text.replace(/\/\/[^/@]*@/, "//(secret)@")
    : text;
}
