/**
 * Whether a stored pipeline would answer a batch now.
 *
 * @module
 */

import { OnFailure } from "@leat/proto";
import { LeatError } from "../../errors.ts";
import type { StoredPipeline } from "../../registry/pipeline-table.ts";
import type { Registry } from "../../registry/registry.ts";
import type { StoreStatus } from "../../store/dead-letter-store.ts";
import { type Health, type HealthReason, healthOf } from "./reasons.ts";

/** What the health of a pipeline is found from. */
export interface PipelineHealthParts {
  readonly registry: Pick<Registry, "pipelines" | "modules" | "signatures" | "heldEntry" | "buildFailure">;
  /** Until when a module's breaker refuses calls; undefined when it does not. */
  readonly refusedUntilMs: (digest: string) => number | undefined;
  /** What is held against a module that is confined to one worker at a time; undefined when it is not. */
  readonly confined: (digest: string) => { readonly why: string; readonly untilMs: number } | undefined;
  readonly storeStatus: () => StoreStatus;
  /** Whether pipelines that keep dead letters serve only while those can be kept. */
  readonly needsStore: boolean;
}

/** What a stage runs, and what becomes of records that it fails. */
interface Stage {
  /** The module's name and version. */
  readonly name: string;
  readonly version: string;
  readonly digest: string;
  readonly refuses: boolean;
  readonly keepsLetters: boolean;
}

/** The health of a stored pipeline; undefined when there is none of that name. */
export function pipelineHealth(parts: PipelineHealthParts, name: string): Health | undefined {
  const { registry } = parts;
  const stored = registry.pipelines.stored(name);
  if (stored === undefined) return undefined;
  const pipelines = [name];
  const found = stagesOf(registry, stored);
  if (found instanceof LeatError) {
    return healthOf([{ code: "module_missing", blocking: true, message: found.message, pipelines }]);
  }
  const reasons: HealthReason[] = [];
  let untilMs = Number.POSITIVE_INFINITY;
  const failure = stored.serving === undefined ? registry.buildFailure(stored.definition) : undefined;
  if (failure !== undefined) {
    const message = `the pipeline could not be built: ${failure.message}`;
    reasons.push({ code: "pipeline_broken", blocking: true, message, pipelines });
  }
  for (const stage of found) {
    untilMs = Math.min(untilMs, addStage(parts, stored, stage, reasons));
  }
  return healthOf(reasons, untilMs);
}

/** Adds what is wrong with a stage. @returns when that may change by itself */
function addStage(
  { registry, refusedUntilMs, confined, storeStatus, needsStore }: PipelineHealthParts,
  { definition, serving }: StoredPipeline,
  { name, version, digest, refuses, keepsLetters }: Stage,
  reasons: HealthReason[],
): number {
  const module = `${name}@${version}`;
  const pipelines = [definition.name];
  let untilMs = Number.POSITIVE_INFINITY;
  const held = registry.heldEntry({ digest });
  if (held !== undefined) {
    const message = `module ${module} is in quarantine: ${held.why}`;
    reasons.push({ code: "module_quarantined", blocking: true, message, module, pipelines });
    if (held.heldUntilMs !== "released") untilMs = held.heldUntilMs;
  }
  const { signatures } = registry;
  const refused =
    serving === undefined
      ? signatures.refusal(name, version)
      : signatures.refusalToRun(name, version, digest);
  if (refused !== undefined)
    reasons.push({ code: "module_refused", blocking: true, message: refused.message, module, pipelines });
  // What is compiled runs without its file.
  const problem = serving === undefined ? registry.modules.problemOf(digest) : undefined;
  if (problem !== undefined) {
    const message = `module ${module} cannot be read: ${problem}`;
    reasons.push({ code: "module_broken", blocking: true, message, module, pipelines });
  }
  const refusedMs = refusedUntilMs(digest);
  if (refusedMs !== undefined) {
    const message = `the breaker of module ${module} is open`;
    reasons.push({ code: "breaker_open", blocking: refuses, message, module, pipelines });
    untilMs = Math.min(untilMs, refusedMs);
  }
  const confinement = confined(digest);
  if (confinement !== undefined) {
    const until = new Date(confinement.untilMs).toISOString();
    const message = `module ${module} is confined to one worker at a time until ${until}: ${confinement.why}`;
    reasons.push({ code: "module_confined", blocking: false, message, module, pipelines });
    untilMs = Math.min(untilMs, confinement.untilMs);
  }
  const status = storeStatus();
  if (needsStore && keepsLetters && status.t === "failed") {
    const message = `dead letters cannot be kept: ${status.reason}`;
    reasons.push({ code: "store_down", blocking: true, message, pipelines });
  }
  return untilMs;
}

/** The stages that run, or that would; the error when a module of theirs is not there. */
function stagesOf(
  { modules }: PipelineHealthParts["registry"],
  { definition, serving }: StoredPipeline,
): readonly Stage[] | LeatError {
  if (serving !== undefined) {
    return serving.spec.stages.map(({ module, version, digest, onFailure }) => ({
      name: module,
      version,
      digest,
      refuses: onFailure === "fail",
      keepsLetters: onFailure === "dead_letter",
    }));
  }
  try {
    return definition.stages.map((stage) => {
      const { name, version, digest } = modules.resolve(stage.module);
      return {
        name,
        version,
        digest,
        refuses: stage.onFailure === OnFailure.FAIL || stage.onFailure === OnFailure.UNSPECIFIED,
        keepsLetters: stage.onFailure === OnFailure.DEAD_LETTER,
      };
    });
  } catch (error) {
    return LeatError.from(error);
  }
}
