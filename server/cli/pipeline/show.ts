/**
 * `leat pipeline show`.
 *
 * @module
 */

import type { Pipeline, Stage } from "@leat/sdk";
import type { Command } from "commander";
import { withLeat } from "../connection.ts";
import { addressOption, jsonOption } from "../options.ts";
import { print } from "../text-table.ts";

/** Adds `pipeline show`. */
export function addShowCommand(pipeline: Command): void {
  pipeline
    .command("show <NAME>")
    .description("show one pipeline, as YAML that `pipeline apply` takes")
    .addOption(jsonOption())
    .addOption(addressOption())
    .addHelpText("after", "\nExamples:\n  leat pipeline show orders >orders.yaml")
    .action(show);
}

async function show(name: string, options: { json?: boolean }, command: Command): Promise<void> {
  await withLeat(command, async (leat) => {
    const { pipeline } = await leat.pipelines.getPipeline({ name });
    if (pipeline === undefined) return;
    if (options.json) {
      const { PipelineSchema } = await import("@leat/sdk");
      const { toJsonString } = await import("@bufbuild/protobuf");
      await print(`${toJsonString(PipelineSchema, pipeline, { prettySpaces: 2 })}\n`);
      return;
    }
    const { stringify } = await import("yaml");
    await print(`# revision ${pipeline.revision}\n${stringify(await written(pipeline))}`);
  });
}

/** A pipeline as people write it; what is undefined is left out. */
async function written(pipeline: Pipeline): Promise<object> {
  const { OnFailure, InstancePolicy } = await import("@leat/sdk");
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
      config: stage.configJson === "" ? undefined : (JSON.parse(stage.configJson) as unknown),
      on_failure: onFailure.get(stage.onFailure),
      instances: instances.get(stage.instances),
      retry: writtenRetry(stage),
      breaker: writtenBreaker(stage),
      limits: writtenLimits(stage),
    })),
  };
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
