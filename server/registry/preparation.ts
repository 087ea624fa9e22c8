/**
 * Makes ready what is to serve: compiles modules, builds pipelines of them, and warms both up. Nothing that
 * serves changes meanwhile.
 *
 * @module
 */

import type { Pipeline } from "@leat/proto";
import type { PipelineSpec, StageSpec } from "../bridge/pipeline-spec.ts";
import type { ModuleCatalog, ModuleEntry } from "./module-catalog.ts";
import type { ReadyModule } from "./module-code.ts";
import { aloneSpec } from "./module-entry.ts";
import { parseReference } from "./names.ts";
import { nextPipelineId, PipelineBuilder, type ResolveModule } from "./pipeline-builder.ts";
import { readStages, type StageDefinition } from "./pipeline-definition.ts";
import type { PipelineTable } from "./pipeline-table.ts";
import type { RegistryParts } from "./registry.ts";
import { checkMayRun, refusalOf } from "./standing.ts";
import { WarmUp, warmUpError } from "./warm-up.ts";

/** A pipeline that may take the place of the one of its name; without a spec it waits until its modules may run. */
export interface PreparedPipeline {
  readonly definition: Pipeline;
  readonly spec: PipelineSpec | undefined;
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

  constructor(parts: RegistryParts, modules: ModuleCatalog, pipelines: PipelineTable) {
    this.#parts = parts;
    this.#modules = modules;
    this.#pipelines = pipelines;
    this.#builder = new PipelineBuilder(parts, modules);
    this.#warmUp = new WarmUp(parts.places, parts.clock);
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

  /** A pipeline, built and warmed. @throws LeatError as PutPipeline documents */
  pipeline(definition: Pipeline, resolve?: ResolveModule): Promise<PipelineSpec> {
    return this.stages(definition.name, readStages(definition, this.#parts.limits), resolve);
  }

  /** As {@link pipeline}, of stages that were read already. */
  async stages(
    name: string,
    stages: readonly StageDefinition[],
    resolve?: ResolveModule,
  ): Promise<PipelineSpec> {
    const spec = await this.#builder.build(name, stages, resolve);
    const problem = await this.#warmUp.run({
      ...spec,
      id: nextPipelineId(),
      stages: spec.stages.map(forAll),
    });
    if (problem !== undefined) throw warmUpError(problem, spec);
    return spec;
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
