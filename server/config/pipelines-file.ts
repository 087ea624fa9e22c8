/**
 * Pipelines as people write them, in YAML: one document with a list,
 *
 *     pipelines:
 *       - name: flights
 *         stages:
 *           - module: normalise@1.2.0
 *           - module: redact
 *             config: { fields: [email, phone] }
 *             when: { header: type, equals: order }
 *             on_failure: drop
 *             limits: { batch_timeout_ms: 2s, memory_bytes: 16MiB }
 *
 * or several documents, each one such list or one pipeline. The keys are the fields of
 * `leat.v1.Pipeline` and `leat.v1.Stage`, but for `config`, which is the mapping that becomes
 * `config_json`, the words `fail`, `drop`, `pass`, `dead_letter`, `reuse` and `fresh`, the times of `retry` and
 * `breaker` (see resilience-file.ts), and `when` (see condition-file.ts).
 *
 * @module
 */

import type { MessageInitShape } from "@bufbuild/protobuf";
import { InstancePolicy, Isolation, OnFailure, type PipelineSchema, type StageSchema } from "@leat/proto";
import type { z } from "zod";
import { defaultLimits, type Limits } from "../limits.ts";
import { conditionInput, conditionSchema } from "./condition-file.ts";
import { ConfigError, type ConfigProblem } from "./config-error.ts";
import { anyMapping, anyText, oneOf, pattern, size, text, time } from "./kinds.ts";
import { breakerInput, breakerSchema, retryInput, retrySchema } from "./resilience-file.ts";
import { check, formatPath, list, mapping, type Path, value } from "./validate.ts";
import { readYaml, type YamlDocument } from "./yaml-text.ts";

/** A pipeline to store. */
export type PipelineInput = MessageInitShape<typeof PipelineSchema>;

const onFailures = {
  fail: OnFailure.FAIL,
  drop: OnFailure.DROP,
  pass: OnFailure.PASS,
  dead_letter: OnFailure.DEAD_LETTER,
} as const;

const instancePolicies = {
  reuse: InstancePolicy.REUSE,
  fresh: InstancePolicy.FRESH,
} as const;

const isolations = {
  process: Isolation.PROCESS,
} as const;

const nameKind = pattern(
  /^[a-z0-9][A-Za-z0-9._-]{0,63}$/,
  "1 to 64 characters: a lower case letter or digit, then letters, digits, `.`, `_` or `-`",
);

const moduleKind = text("a module as `name`, `name@version` or `sha256:<64 hex digits>`");

const stageShape = {
  name: value(nameKind).optional(),
  module: value(moduleKind),
  config: value(anyMapping).superRefine(checkJson).optional(),
  limits: mapping({
    batch_timeout_ms: value(time(1)).optional(),
    record_timeout_ms: value(time(1)).optional(),
    memory_bytes: value(size(1)).optional(),
  }).optional(),
  on_failure: value(oneOf(Object.keys(onFailures) as (keyof typeof onFailures)[])).optional(),
  retry: retrySchema.optional(),
  breaker: breakerSchema.optional(),
  isolation: value(oneOf(Object.keys(isolations) as (keyof typeof isolations)[])).optional(),
  instances: value(oneOf(Object.keys(instancePolicies) as (keyof typeof instancePolicies)[])).optional(),
};

function stageSchema(limits: Limits) {
  return mapping({ ...stageShape, when: conditionSchema(limits).optional() });
}

type WrittenStage = z.infer<ReturnType<typeof stageSchema>>;

interface WrittenPipeline {
  name: string;
  description?: string | undefined;
  stages: WrittenStage[];
}

function pipelineSchema(limits: Limits): z.ZodType<WrittenPipeline> {
  return mapping({
    name: value(nameKind),
    description: value(anyText).optional(),
    stages: list(stageSchema(limits), "stages", limits.maxStages),
  });
}

/** What one document of a pipelines file may be, under the default limits: one pipeline, or a list of them. */
export function pipelineDocuments(): readonly [one: z.ZodType, many: z.ZodType] {
  const one = pipelineSchema(defaultLimits);
  return [one, mapping({ pipelines: list(one, "pipelines", defaultLimits.maxPipelines) })];
}

/**
 * Reads pipelines.
 *
 * Whether their modules are there and take their configuration is for the server to say.
 *
 * @param source - the YAML
 * @param fileName - what messages call it
 * @param limits - how many pipelines and stages there may be. Default: the server's defaults
 * @throws ConfigError with all mistakes, each with its line and column
 */
export function parsePipelines(
  source: string,
  fileName: string,
  limits: Limits = defaultLimits,
): PipelineInput[] {
  const one = pipelineSchema(limits);
  const many = mapping({ pipelines: list(one, "pipelines", limits.maxPipelines) });
  const problems: ConfigProblem[] = [];
  const pipelines: PipelineInput[] = [];
  const names = new Map<string, string>();
  for (const document of readYaml(source, fileName)) {
    // An empty document is what a `---` at the beginning or the end leaves.
    if (document.value === null) continue;
    const isOne =
      typeof document.value === "object" && "stages" in document.value && !("pipelines" in document.value);
    const checked = isOne
      ? check(one, document.value, document.where)
      : check(many, document.value, document.where);
    if (!checked.ok) {
      problems.push(...checked.problems);
      continue;
    }
    const written = "pipelines" in checked.value ? checked.value.pipelines : [checked.value];
    for (const [place, pipeline] of written.entries()) {
      const path = isOne ? [] : ["pipelines", place];
      problems.push(...repeatedNames(pipeline, path, document, names));
      pipelines.push(pipelineInput(pipeline));
    }
  }
  if (problems.length > 0) throw new ConfigError(problems);
  if (pipelines.length === 0) {
    throw new ConfigError([
      { where: fileName, key: "pipelines", problem: "missing; give at least one pipeline" },
    ]);
  }
  return pipelines;
}

/** Finds pipelines of one file, and stages of one pipeline, that have the same name. */
function repeatedNames(
  pipeline: WrittenPipeline,
  path: Path,
  document: YamlDocument,
  names: Map<string, string>,
): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const note = (seen: Map<string, string>, name: string, at: Path, hint: string) => {
    const where = document.where(at);
    const before = seen.get(name);
    if (before === undefined) seen.set(name, where);
    else
      problems.push({
        where,
        key: formatPath(at),
        problem: `"${name}" is the name at ${before}, too; ${hint}`,
      });
  };
  note(names, pipeline.name, [...path, "name"], "give each pipeline its own");
  const stageNames = new Map<string, string>();
  for (const [place, stage] of pipeline.stages.entries()) {
    const at = [...path, "stages", place, stage.name === undefined ? "module" : "name"];
    note(stageNames, stage.name ?? stage.module.replace(/@.*$/, ""), at, "give each stage its own `name`");
  }
  return problems;
}

function pipelineInput({ name, description, stages }: WrittenPipeline): PipelineInput {
  return { name, description: description ?? "", stages: stages.map(stageInput) };
}

function stageInput(stage: WrittenStage): MessageInitShape<typeof StageSchema> {
  const { batch_timeout_ms, record_timeout_ms, memory_bytes } = stage.limits ?? {};
  return {
    name: stage.name ?? "",
    module: stage.module,
    configJson: stage.config === undefined ? "" : JSON.stringify(stage.config),
    onFailure: stage.on_failure === undefined ? OnFailure.UNSPECIFIED : onFailures[stage.on_failure],
    instances: stage.instances === undefined ? InstancePolicy.UNSPECIFIED : instancePolicies[stage.instances],
    isolation: stage.isolation === undefined ? Isolation.UNSPECIFIED : isolations[stage.isolation],
    ...(stage.retry !== undefined && { retry: retryInput(stage.retry) }),
    ...(stage.breaker !== undefined && { breaker: breakerInput(stage.breaker) }),
    ...(stage.when !== undefined && { when: conditionInput(stage.when) }),
    ...(stage.limits !== undefined && {
      limits: {
        ...(batch_timeout_ms !== undefined && { batchTimeoutMs: batch_timeout_ms }),
        ...(record_timeout_ms !== undefined && { recordTimeoutMs: record_timeout_ms }),
        ...(memory_bytes !== undefined && { memoryBytes: BigInt(memory_bytes) }),
      },
    }),
  };
}

/** Finds values that JSON does not have or that a number would round: the module would get something else than was written. */
function checkJson(config: unknown, context: z.core.$RefinementCtx): void {
  const visit = (found: unknown, path: (string | number)[]): void => {
    if (typeof found === "number" && !Number.isFinite(found)) {
      context.addIssue({ code: "custom", path, message: "a finite number" });
    } else if (typeof found === "number" && Number.isInteger(found) && !Number.isSafeInteger(found)) {
      context.addIssue({ code: "custom", path, message: "numbers this large as text, in quotes" });
    } else if (Array.isArray(found)) {
      for (const [place, entry] of found.entries()) visit(entry, [...path, place]);
    } else if (typeof found === "object" && found !== null) {
      for (const [name, entry] of Object.entries(found)) visit(entry, [...path, name]);
    }
  };
  visit(config, []);
}
