/**
 * Writes down all that there is, where the file that had it is gone.
 *
 * @module
 */

import { toBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { PipelineSchema } from "@leat/proto";
import type { RegistryStep } from "../store/registry-store.ts";
import type { ModuleCatalog } from "./module-catalog.ts";
import type { PipelineTable } from "./pipeline-table.ts";
import type { RegistryParts } from "./registry-parts.ts";

/** Steps that make an empty file, or one with a part of it, hold everything but earlier revisions of pipelines. */
export function everything(
  { limits, clock, signatures }: Pick<RegistryParts, "limits" | "clock" | "signatures">,
  modules: ModuleCatalog,
  pipelines: PipelineTable,
): RegistryStep[] {
  const steps: RegistryStep[] = [];
  const timeMs = clock.nowMs();
  const nothing = { sizeBytes: 0, abi: "", loadTimeMs: 0, compileUs: 0, imports: [], exports: [] };
  for (const bound of modules.unloaded()) {
    const { name, version } = bound;
    steps.push({ t: "load", module: { ...bound, ...nothing } }, { t: "unload", name, version, timeMs });
  }
  for (const module of modules.list())
    steps.push({ t: "load", module }, { t: "signature", signature: signatures.stored(module) });
  for (const name of new Set(modules.list().map((module) => module.name))) {
    steps.push({ t: "deactivate", name });
    for (const activation of modules.history(name))
      steps.push({ t: "activate", activation, keep: limits.maxActivationHistory });
  }
  for (const { definition } of pipelines.list()) {
    const { name, revision, updateTime } = definition;
    const { principal = "", digest = "" } = pipelines.facts(name) ?? {};
    const stored = {
      name,
      revision,
      principal,
      digest,
      previous: 0,
      definition: toBinary(PipelineSchema, definition),
      timeMs: updateTime === undefined ? timeMs : timestampMs(updateTime),
    };
    steps.push({ t: "pipeline", revision: stored, keep: limits.maxPipelineRevisions });
  }
  return steps;
}
