/**
 * Checks a pipeline as a client or a file gives it.
 *
 * @module
 */

import { Isolation, OnFailure, type Pipeline, type Stage } from "@leat/proto";
import type { BreakerSpec, ConditionSpec, FailurePolicy, RetrySpec } from "../bridge/pipeline-spec.ts";
import { leatError } from "../errors.ts";
import { type Limits, wasmPageBytes } from "../limits.ts";
import { beyondLimit, overLimit } from "./beyond-limit.ts";
import { readCondition } from "./condition-definition.ts";
import { isName, nameRule } from "./names.ts";
import { readBreaker, readRetry } from "./resilience-definition.ts";

/** A stage with every setting that the definition leaves open filled in. */
export interface StageDefinition {
  readonly name: string;
  readonly module: string;
  readonly configJson: string;
  readonly batchTimeoutMs: number;
  readonly recordTimeoutMs: number;
  readonly memoryBytes: number;
  readonly onFailure: FailurePolicy;
  readonly retry: RetrySpec;
  readonly breaker: BreakerSpec | undefined;
  readonly fresh: boolean;
  readonly when: ConditionSpec | undefined;
  /** Where the pipeline must run; undefined for anywhere. */
  readonly isolation: "process" | undefined;
}

const policies: ReadonlyMap<number, FailurePolicy> = new Map<number, FailurePolicy>([
  [OnFailure.UNSPECIFIED, "fail"],
  [OnFailure.FAIL, "fail"],
  [OnFailure.DROP, "drop"],
  [OnFailure.PASS, "pass"],
  [OnFailure.DEAD_LETTER, "dead_letter"],
]);

/** `InstancePolicy.FRESH`. */
const freshPolicy = 2;

/**
 * Checks a pipeline and fills in what it leaves open.
 *
 * @throws LeatError PIPELINE_INVALID naming the field
 */
export function readStages(pipeline: Pipeline, limits: Readonly<Limits>): StageDefinition[] {
  if (!isName(pipeline.name)) invalid("pipeline.name", `"${cut(pipeline.name)}" is no name: ${nameRule}`);
  const { stages } = pipeline;
  if (stages.length === 0) invalid("pipeline.stages", "a pipeline needs at least 1 stage");
  if (stages.length > limits.maxStages)
    throw overLimit("pipeline.stages", stages.length, "maxStages", limits.maxStages);
  const names = new Set<string>();
  return stages.map((stage, index) => {
    const read = readStage(stage, `pipeline.stages[${index}]`, limits);
    if (names.has(read.name))
      invalid(`pipeline.stages[${index}].name`, `"${read.name}" is the name of an earlier stage`);
    names.add(read.name);
    return read;
  });
}

function readStage(stage: Stage, path: string, limits: Readonly<Limits>): StageDefinition {
  if (stage.module === "") invalid(`${path}.module`, "a stage needs a module");
  const name = stage.name === "" ? defaultName(stage.module) : stage.name;
  if (!isName(name)) invalid(`${path}.name`, `"${cut(name)}" is no name: ${nameRule}`);
  const onFailure = policies.get(stage.onFailure);
  if (onFailure === undefined)
    invalid(`${path}.on_failure`, `${stage.onFailure} is no policy; use FAIL, DROP, PASS or DEAD_LETTER`);
  if (stage.instances < 0 || stage.instances > freshPolicy) {
    invalid(`${path}.instances`, `${stage.instances} is no policy; use REUSE or FRESH`);
  }
  const bounded = (field: string, value: number | bigint | undefined, limit: keyof Limits): number => {
    const most = limits[limit];
    if (value === undefined) return most;
    if (value < 1 || value > most) throw beyondLimit(`${path}.limits.${field}`, value, 1, limit, most);
    return Number(value);
  };
  const { batchTimeoutMs, recordTimeoutMs, memoryBytes } = stage.limits ?? {};
  const batchMs = bounded("batch_timeout_ms", batchTimeoutMs, "maxBatchExecutionMs");
  const memory = bounded("memory_bytes", memoryBytes, "maxGuestMemoryBytes");
  if (memory < wasmPageBytes)
    invalid(`${path}.limits.memory_bytes`, `${memory} is less than one page, ${wasmPageBytes}`);
  return {
    name,
    module: stage.module,
    configJson: readConfig(stage.configJson, `${path}.config_json`, limits),
    batchTimeoutMs: batchMs,
    recordTimeoutMs: Math.min(bounded("record_timeout_ms", recordTimeoutMs, "maxRecordExecutionMs"), batchMs),
    memoryBytes: Math.floor(memory / wasmPageBytes) * wasmPageBytes,
    onFailure: onFailure ?? "fail",
    retry: readRetry(stage.retry, `${path}.retry`, limits),
    breaker: readBreaker(stage.breaker, `${path}.breaker`, limits),
    fresh: stage.instances === freshPolicy,
    when: readCondition(stage.when, `${path}.when`, limits),
    isolation: readIsolation(stage.isolation, path),
  };
}

function readIsolation(isolation: number, path: string): "process" | undefined {
  if (isolation !== Isolation.UNSPECIFIED && isolation !== Isolation.PROCESS)
    invalid(`${path}.isolation`, `${isolation} is no isolation; use PROCESS`);
  return isolation === Isolation.PROCESS ? "process" : undefined;
}

/** A module's configuration: empty means `{}`. @throws LeatError PIPELINE_INVALID */
export function readConfig(configJson: string, path: string, limits: Readonly<Limits>): string {
  if (configJson === "") return "{}";
  const bytes = Buffer.byteLength(configJson);
  if (bytes > limits.maxConfigBytes)
    throw overLimit(path, bytes, "maxConfigBytes", limits.maxConfigBytes, "bytes");
  try {
    JSON.parse(configJson);
  } catch (error) {
    invalid(path, `not JSON: ${(error as Error).message}`);
  }
  return configJson;
}

/** The module's name without its version, or the first digits of a digest. */
function defaultName(reference: string): string {
  if (reference.startsWith("sha256:")) return reference.slice(7, 19);
  return reference.split("@", 1)[0] ?? reference;
}

function invalid(field: string, problem: string): never {
  throw leatError("PIPELINE_INVALID", { field, problem });
}

function cut(text: string): string {
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}
