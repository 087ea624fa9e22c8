/**
 * Other limits for pipelines that serve: each gives way to one of the same modules under the new limits. Nothing is
 * compiled or warmed up, since the limits that are part of a module's code do not change while the server runs.
 *
 * @module
 */

import { create } from "@bufbuild/protobuf";
import { type Pipeline, PipelineSchema } from "@leat/proto";
import type { PipelineSpec } from "../bridge/pipeline-spec.ts";
import { LeatError, leatError } from "../errors.ts";
import { batchLimitsOf } from "../limit-changes.ts";
import type { Limits } from "../limits.ts";
import { nextPipelineId } from "./pipeline-builder.ts";
import { readStages } from "./pipeline-definition.ts";

/**
 * The pipeline as it is under other limits.
 *
 * @throws LeatError PIPELINE_INVALID when its definition asks for more than they allow
 */
export function underLimits(
  spec: PipelineSpec,
  definition: Pipeline,
  limits: Readonly<Limits>,
): PipelineSpec {
  const stages = readStages(definition, limits);
  return {
    ...spec,
    id: nextPipelineId(),
    limits: batchLimitsOf(limits),
    stages: spec.stages.map((stage, index) => {
      const read = stages[index];
      if (read === undefined) throw new Error(`pipeline ${spec.name} has not the stages of its definition`);
      const { batchTimeoutMs, recordTimeoutMs, retry, breaker } = read;
      return { ...stage, batchTimeoutMs, recordTimeoutMs, retry, breaker };
    }),
  };
}

/** As {@link underLimits}, for an inline chain, whose stages leave everything open. */
export function inlineUnderLimits(spec: PipelineSpec, limits: Readonly<Limits>): PipelineSpec {
  const stages = spec.stages.map(({ name, module }) => ({ name, module }));
  return underLimits(spec, create(PipelineSchema, { name: "inline", stages }), limits);
}

/** @throws LeatError LIMITS_UNFIT for the first pipeline that is within the limits in force and would not be within the next */
export function checkFit(
  definitions: readonly Pipeline[],
  inForce: Readonly<Limits>,
  next: Readonly<Limits>,
): void {
  for (const definition of definitions) {
    const problem = misfit(definition, next);
    if (problem === undefined || misfit(definition, inForce) !== undefined) continue;
    throw leatError("LIMITS_UNFIT", { pipeline: definition.name, problem });
  }
}

function misfit(definition: Pipeline, limits: Readonly<Limits>): string | undefined {
  try {
    readStages(definition, limits);
    return undefined;
  } catch (error) {
    return LeatError.from(error).message;
  }
}
