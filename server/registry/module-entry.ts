/**
 * What is made of a module at its load: its entry in the catalog, and a pipeline of it alone to warm it up with.
 *
 * @module
 */

import type { PipelineSpec } from "../bridge/pipeline-spec.ts";
import { batchLimitsOf } from "../limit-changes.ts";
import type { Limits } from "../limits.ts";
import { abiName } from "../module/abi.ts";
import type { ModuleEntry } from "./module-catalog.ts";
import type { ReadyModule } from "./module-code.ts";
import { nextPipelineId } from "./pipeline-builder.ts";
import { noRetry } from "./resilience-definition.ts";

/** The entry of a module. */
export function moduleEntry(
  { name, wasm }: { readonly name: string; readonly wasm: Uint8Array },
  facts: Pick<ModuleEntry, "version" | "digest" | "compileUs" | "loadTimeMs"> &
    Pick<ReadyModule, "inspected">,
): ModuleEntry {
  const { version, digest, compileUs, loadTimeMs, inspected } = facts;
  return {
    name,
    version,
    digest,
    sizeBytes: wasm.length,
    abi: abiName,
    loadTimeMs,
    compileUs,
    imports: inspected.imports.map((wanted) => `${wanted.module}.${wanted.name}`),
    exports: inspected.exports.map((given) => given.name),
    configSchema: inspected.configSchema,
  };
}

/** A pipeline of one module under the server's limits. */
export function aloneSpec(
  { name, version, digest }: ModuleEntry,
  ready: ReadyModule,
  configJson: string,
  limits: Readonly<Limits>,
): PipelineSpec {
  return {
    id: nextPipelineId(),
    name: `${name}@${version}`,
    limits: batchLimitsOf(limits),
    stages: [
      {
        name,
        module: name,
        version,
        digest,
        identity: { stage: name, module: name, version, digest },
        code: ready.code,
        codeSectionShiftBytes: ready.inspected.codeSectionShiftBytes,
        instanceHeapBytes: ready.inspected.instanceHeapBytes,
        configJson,
        batchTimeoutMs: limits.maxBatchExecutionMs,
        recordTimeoutMs: limits.maxRecordExecutionMs,
        memoryBytes: limits.maxGuestMemoryBytes,
        onFailure: "fail",
        retry: noRetry,
        breaker: undefined,
        fresh: false,
      },
    ],
  };
}
