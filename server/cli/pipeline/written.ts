/**
 * Pipelines as people write them.
 *
 * @module
 */

import type { Condition, HeaderCondition, KeyCondition, Pipeline, Stage } from "@leat/sdk";

/** A pipeline in YAML that `leat pipeline apply` takes. */
export async function writtenYaml(pipeline: Pipeline): Promise<string> {
  const { stringify } = await import("yaml");
  return stringify(await written(pipeline));
}

/** A pipeline as people write it; what is undefined is left out. */
async function written(pipeline: Pipeline): Promise<object> {
  const { OnFailure, InstancePolicy, Isolation } = await import("@leat/sdk");
  const onFailure = new Map<number, string>([
    [OnFailure.FAIL, "fail"],
    [OnFailure.DROP, "drop"],
    [OnFailure.PASS, "pass"],
    [OnFailure.DEAD_LETTER, "dead_letter"],
  ]);
  const instances = new Map<number, string>([
    [InstancePolicy.REUSE, "reuse"],
    [InstancePolicy.FRESH, "fresh"],
  ]);
  return {
    name: pipeline.name,
    description: pipeline.description || undefined,
    stages: pipeline.stages.map((stage) => ({
      name: stage.name || undefined,
      module: stage.module,
      when: stage.when && writtenCondition(stage.when),
      config: stage.configJson === "" ? undefined : (JSON.parse(stage.configJson) as unknown),
      on_failure: onFailure.get(stage.onFailure),
      instances: instances.get(stage.instances),
      isolation: stage.isolation === Isolation.PROCESS ? "process" : undefined,
      retry: writtenRetry(stage),
      breaker: writtenBreaker(stage),
      limits: writtenLimits(stage),
    })),
  };
}

function writtenCondition({ condition }: Condition): object {
  switch (condition.case) {
    case "header":
      return { header: condition.value.name, ...writtenMatch(condition.value) };
    case "key":
      return { key: writtenMatch(condition.value) };
    case "not":
      return { not: writtenCondition(condition.value) };
    case "all":
    case "any":
      return { [condition.case]: condition.value.conditions.map(writtenCondition) };
    default:
      return {};
  }
}

function writtenMatch({ match }: HeaderCondition | KeyCondition): object {
  if (match.case === undefined) return {};
  return { [match.case]: match.case === "in" ? match.value.texts : match.value };
}

function writtenRetry({ retry }: Stage): object | undefined {
  if (retry === undefined) return undefined;
  return {
    attempts: retry.attempts || 1,
    initial: retry.initialBackoffMs || undefined,
    max: retry.maxBackoffMs || undefined,
    factor: retry.factor || undefined,
    jitter: retry.jitter,
    faults: retry.faults || undefined,
  };
}

function writtenBreaker({ breaker }: Stage): object | undefined {
  if (breaker === undefined) return undefined;
  return {
    disabled: breaker.disabled || undefined,
    faults: breaker.faults || undefined,
    window: breaker.window || undefined,
    open: breaker.openMs || undefined,
    probes: breaker.probes || undefined,
    record_failures: breaker.recordFailures || undefined,
  };
}

function writtenLimits({ limits }: Stage): object | undefined {
  if (limits === undefined) return undefined;
  return {
    batch_timeout_ms: limits.batchTimeoutMs,
    record_timeout_ms: limits.recordTimeoutMs,
    memory_bytes: limits.memoryBytes === undefined ? undefined : Number(limits.memoryBytes),
  };
}
