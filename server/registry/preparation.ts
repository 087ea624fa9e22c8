/**
 * Makes ready what is to serve: compiles modules, builds pipelines of them, and warms both up. Nothing that
 * serves changes meanwhile.
 *
 * @module
 */

import type { Pipeline } from "@leat/proto";
import type { PipelineSpec, StageSpec } from "../bridge/pipeline-spec.ts";
import { leatError } from "../errors.ts";
import { printable } from "../module/printable.ts";
import { ConfigChecker, type ConfigProblem } from "./config-checker.ts";
import type { ModuleCatalog, ModuleEntry } from "./module-catalog.ts";
import type { ReadyModule } from "./module-code.ts";
import { aloneSpec } from "./module-entry.ts";
import { parseReference } from "./names.ts";
import { nextPipelineId, PipelineBuilder, type ResolveModule } from "./pipeline-builder.ts";
import { readStages, type StageDefinition } from "./pipeline-definition.ts";
import type { PipelineTable } from "./pipeline-table.ts";
import type { RegistryParts } from "./registry-parts.ts";
import { checkMayRun, refusalOf } from "./standing.ts";
import { WarmUp, warmUpError } from "./warm-up.ts";

/** A pipeline that may take the place of the one of its name; without a spec it waits until its modules may run. */
export interface PreparedPipeline {
  readonly definition: Pipeline;
  readonly spec: PipelineSpec | undefined;
}

/** The first problem with its path, and the others behind it. */
function describeProblems(
  root: string,
  problems: readonly ConfigProblem[],
): { field: string; problem: string } | undefined {
  const [first, ...others] = problems;
  if (first === undefined) return undefined;
  const more = others.map(({ path, problem }) => `; ${root}${path}: ${problem}`);
  return { field: printable(`${root}${first.path}`), problem: printable([first.problem, ...more].join("")) };
}

/** A stage as it is warmed up: the samples match no condition. */
function forAll(stage: StageSpec): StageSpec {
  return { ...stage, when: undefined };
}

/** Prepares modules and pipelines. */
export class Preparation {
  readonly #parts: RegistryParts;
  readonly #modules: ModuleCatalog;
  readonly #pipelines: PipelineTable;
  readonly #builder: PipelineBuilder;
  readonly #warmUp: WarmUp;
  readonly #configChecker: ConfigChecker;

  constructor(parts: RegistryParts, modules: ModuleCatalog, pipelines: PipelineTable) {
    this.#parts = parts;
    this.#modules = modules;
    this.#pipelines = pipelines;
    this.#builder = new PipelineBuilder(parts, modules);
    this.#warmUp = new WarmUp(parts.places, parts.clock);
    this.#configChecker = new ConfigChecker(parts.limits);
  }

  /**
   * A loaded module, compiled where it will run in threads of this process.
   *
   * @throws LeatError MODULE_FILE_BROKEN, as {@link checkMayRun}, or what compilation says
   */
  compile(entry: ModuleEntry): Promise<ReadyModule> {
    checkMayRun(this.#parts, entry);
    return this.#builder.compile(entry);
  }

  /**
   * Warms a module up by itself.
   *
   * @param configGiven - whether its refusal of the configuration counts
   * @throws LeatError MODULE_INIT_FAILED, MODULE_WARMUP_FAILED
   */
  async module(
    entry: ModuleEntry,
    compiled: ReadyModule,
    configJson: string,
    configGiven: boolean,
  ): Promise<void> {
    const { limits, quarantine } = this.#parts;
    const spec = {
      ...aloneSpec(entry, compiled, configJson, limits),
      probationUntilMs: quarantine.probationUntilMs(entry.digest),
    };
    const problem = await this.#warmUp.run(spec);
    if (problem === undefined) return;
    // A module that needs a configuration is checked again by each pipeline that gives it one.
    if (problem.code === "init_failed" && !configGiven && compiled.abi.acceptsConfig) return;
    throw warmUpError(problem, spec);
  }

  /**
   * A pipeline, built and warmed.
   *
   * @param given - whether the definition comes with a call, or is stored already
   * @throws LeatError as PutPipeline documents
   */
  pipeline(
    definition: Pipeline,
    resolve?: ResolveModule,
    given: "call" | "stored" = "stored",
  ): Promise<PipelineSpec> {
    const where = given === "call" ? undefined : `pipelines.${definition.name}.stages`;
    return this.stages(definition.name, readStages(definition, this.#parts.limits), where, resolve);
  }

  /**
   * As {@link pipeline}, of stages that were read already.
   *
   * @param where - what messages call the stages; undefined for the pipeline of a call that puts one
   */
  async stages(
    name: string,
    stages: readonly StageDefinition[],
    where: string | undefined,
    resolve: ResolveModule = (reference) => this.#modules.resolve(reference),
  ): Promise<PipelineSpec> {
    await this.#checkConfigs(stages, where, resolve);
    const spec = await this.#builder.build(name, stages, resolve);
    const problem = await this.#warmUp.run({
      ...spec,
      id: nextPipelineId(),
      stages: spec.stages.map(forAll),
    });
    if (problem !== undefined) throw warmUpError(problem, spec);
    return spec;
  }

  /** @throws LeatError PIPELINE_INVALID or, of what is not being put, MODULE_CONFIG_REFUSED */
  async #checkConfigs(
    stages: readonly StageDefinition[],
    where: string | undefined,
    resolve: ResolveModule,
  ): Promise<void> {
    const asked = stages.flatMap(({ module, configJson }, index) => {
      const { configSchema = "", name, version } = resolve(module);
      return configSchema === ""
        ? []
        : [{ index, module: `${name}@${version}`, schema: configSchema, configJson }];
    });
    if (asked.length === 0) return;
    const found = await this.#configChecker.check(asked);
    for (const [place, { index, module }] of asked.entries()) {
      const wrong = describeProblems(`${where ?? "pipeline.stages"}[${index}].config`, found[place] ?? []);
      if (wrong === undefined) continue;
      throw where === undefined
        ? leatError("PIPELINE_INVALID", wrong)
        : leatError("MODULE_CONFIG_REFUSED", { module, ...wrong });
    }
  }

  /** @throws LeatError REQUEST_INVALID when a module's schema refuses the configuration that it is loaded with */
  async checkSampleConfig({ configSchema = "" }: ModuleEntry, configJson: string): Promise<void> {
    if (configSchema === "") return;
    const [problems = []] = await this.#configChecker.check([{ schema: configSchema, configJson }]);
    const wrong = describeProblems("sample_config_json", problems);
    if (wrong !== undefined) throw leatError("REQUEST_INVALID", wrong);
  }

  /** Finds modules as they will be when a version is the active one. */
  resolveWith(entry: ModuleEntry): ResolveModule {
    return (reference) => {
      const parsed = parseReference(reference);
      return parsed.t === "active" && parsed.name === entry.name ? entry : this.#modules.resolve(reference);
    };
  }

  /** The stored pipelines that follow a name, as they will be when a version is the active one of it. */
  async followers(entry: ModuleEntry): Promise<PreparedPipeline[]> {
    const resolve = this.resolveWith(entry);
    const prepared = [];
    for (const { definition } of this.followersOf(entry.name)) {
      const held = definition.stages.some((stage) => this.#isHeld(resolve(stage.module)));
      prepared.push({ definition, spec: held ? undefined : await this.pipeline(definition, resolve) });
    }
    return prepared;
  }

  /** The stored pipelines that name a module without a version. */
  followersOf(name: string) {
    return this.#pipelines
      .list()
      .filter(({ definition }) => definition.stages.some((stage) => stage.module === name));
  }

  #isHeld(entry: ModuleEntry): boolean {
    return refusalOf(this.#parts, entry) !== undefined;
  }
}
