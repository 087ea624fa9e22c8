/**
 * Finds the pipeline that a call names, and builds it where nothing has used it yet.
 *
 * @module
 */

import type { Pipeline, Target } from "@leat/proto";
import { LeatError, leatError } from "../errors.ts";
import type { ServingPipeline } from "../pool/serving-pipeline.ts";
import { inlineDefinition } from "./inline-definition.ts";
import { inlineUnderLimits } from "./limit-change.ts";
import type { ModuleCatalog, ModuleEntry } from "./module-catalog.ts";
import { parseReference } from "./names.ts";
import { readStages } from "./pipeline-definition.ts";
import type { PipelineTable, StoredPipeline } from "./pipeline-table.ts";
import type { Preparation } from "./preparation.ts";
import type { RegistryParts } from "./registry-parts.ts";
import { checkMayRun } from "./standing.ts";
import type { Turnstile } from "./turnstile.ts";

/** The modules of an inline chain, as they were named and what was meant by that when the call came. */
type Chain = readonly { readonly reference: string; readonly entry: ModuleEntry }[];

/** The module of a `name@version`. @throws LeatError REQUEST_INVALID where it is none */
function nameIn(version: string): string {
  const parsed = parseReference(version);
  if (parsed.t === "version") return parsed.name;
  throw leatError("REQUEST_INVALID", { field: "versions", problem: `${version} is no name@version` });
}

/** Resolves the targets of calls. */
export class Targets {
  readonly #parts: RegistryParts;
  readonly #modules: ModuleCatalog;
  readonly #pipelines: PipelineTable;
  readonly #preparation: Preparation;
  readonly #turnstile: Turnstile;
  /** Why a pipeline could not be built when that was last tried. */
  #failures = new WeakMap<Pipeline, LeatError>();
  readonly #building = new Map<string, Promise<ServingPipeline>>();

  constructor(
    parts: RegistryParts,
    modules: ModuleCatalog,
    pipelines: PipelineTable,
    preparation: Preparation,
    turnstile: Turnstile,
  ) {
    this.#parts = parts;
    this.#modules = modules;
    this.#pipelines = pipelines;
    this.#preparation = preparation;
    this.#turnstile = turnstile;
  }

  /**
   * The pipeline that a call's target names, when nothing has to be built for it.
   *
   * @throws LeatError PIPELINE_NOT_FOUND, MODULE_NOT_FOUND, REQUEST_INVALID, or as {@link checkMayRun}
   */
  resolveNow(target: Target | undefined): ServingPipeline | undefined {
    switch (target?.target.case) {
      case "pipeline":
        return this.#serving(this.#pipelines.get(target.target.value))?.forNextBatch();
      case "inline":
        return this.#pipelines.inline(keyOf(this.#chainOf(target.target.value.modules)));
      default:
        throw leatError("REQUEST_INVALID", {
          field: "target",
          problem: "name a pipeline or an inline chain of modules",
        });
    }
  }

  /** The pipeline that runs; undefined for one that waits to be built, and may be. */
  #serving({ definition, serving }: StoredPipeline): ServingPipeline | undefined {
    if (serving === undefined) {
      for (const stage of definition.stages) checkMayRun(this.#parts, this.#modules.resolve(stage.module));
    }
    return serving;
  }

  /**
   * As {@link resolveNow}, but builds an inline chain that was not used before, and a stored pipeline that was not built
   * since the start or comes out of quarantine.
   */
  async resolve(target: Target | undefined): Promise<ServingPipeline> {
    const found = this.resolveNow(target);
    if (found !== undefined) return found;
    if (target?.target.case === "pipeline") return this.build(target.target.value);
    const modules = target?.target.case === "inline" ? target.target.value.modules : [];
    const chain = this.#chainOf(modules);
    const key = keyOf(chain);
    return this.#buildOnce(key, () => this.#buildInline(key, chain));
  }

  /** Builds a stored pipeline unless it serves already. */
  build(name: string): Promise<ServingPipeline> {
    return this.#buildOnce(`pipeline:${name}`, () =>
      this.#turnstile.run(async () => {
        const stored = this.#pipelines.get(name);
        const serving = this.#serving(stored);
        if (serving !== undefined) return serving;
        const spec = await this.#preparation.pipeline(stored.definition).catch((error) => {
          this.#failed(stored.definition, LeatError.from(error));
          throw error;
        });
        return this.#pipelines.serve(stored.definition, spec);
      }),
    );
  }

  /**
   * A target's pipeline with other versions of its modules, beside the one that serves. Whoever asks retires it.
   *
   * @param versions - as `name@version`, in place of whatever version of that name a stage takes
   * @throws LeatError REQUEST_INVALID for a version of what the pipeline does not run, or what building it throws
   */
  withVersions({ target }: Target, versions: readonly string[]): Promise<ServingPipeline> {
    return this.#turnstile.run(async () => {
      const others = new Map(versions.map((version) => [nameIn(version), version]));
      const unused = new Set(others.keys());
      const resolve = (reference: string): ModuleEntry => {
        const parsed = parseReference(reference);
        const name = parsed.t === "digest" ? this.#modules.resolve(reference).name : parsed.name;
        unused.delete(name);
        return this.#modules.resolve(others.get(name) ?? reference);
      };
      const { definition, name, where } = this.#definitionOf(target);
      for (const { module } of definition.stages) resolve(module);
      for (const missing of unused)
        throw leatError("REQUEST_INVALID", {
          field: "versions",
          problem: `${name} runs no module ${missing}`,
        });
      const stages = readStages(definition, this.#parts.limits);
      return this.#pipelines.makeServing(await this.#preparation.stages(name, stages, where, resolve));
    });
  }

  #definitionOf(target: Target["target"]): { definition: Pipeline; name: string; where: string } {
    if (target.case !== "inline") {
      const name = target.value ?? "";
      return { definition: this.#pipelines.get(name).definition, name, where: `pipelines.${name}.stages` };
    }
    const { modules } = target.value;
    const definition = inlineDefinition(modules, (module) => this.#modules.resolve(module).name);
    return { definition, name: `inline:${modules.join(",")}`, where: "inline.modules" };
  }

  /** What waiting mends says nothing about the pipeline, and quarantine speaks for itself. */
  #failed(definition: Pipeline, error: LeatError): void {
    if (error.status === "UNAVAILABLE" || error.reason === "MODULE_QUARANTINED") return;
    this.#failures.set(definition, error);
    this.#pipelines.onChange();
  }

  /** Why a stored pipeline could not be built; undefined where it was not tried, or modules have changed since. */
  buildFailure(definition: Pipeline): LeatError | undefined {
    return this.#failures.get(definition);
  }

  /** Modules have changed: what could not be built may be built now. */
  modulesChanged(): void {
    this.#failures = new WeakMap();
  }

  #buildOnce(key: string, build: () => Promise<ServingPipeline>): Promise<ServingPipeline> {
    let building = this.#building.get(key);
    if (building === undefined) {
      building = build().finally(() => this.#building.delete(key));
      this.#building.set(key, building);
    }
    return building;
  }

  #chainOf(modules: readonly string[]): Chain {
    const chain = modules.map((reference) => ({ reference, entry: this.#modules.resolve(reference) }));
    for (const { entry } of chain) checkMayRun(this.#parts, entry);
    return chain;
  }

  /** Modules may be loaded and unloaded meanwhile: what is kept under a key runs the modules that the key was made of. */
  async #buildInline(key: string, chain: Chain): Promise<ServingPipeline> {
    const entries = new Map(chain.map(({ reference, entry }) => [reference, entry]));
    const resolve = (reference: string): ModuleEntry =>
      entries.get(reference) ?? this.#modules.resolve(reference);
    const modules = chain.map(({ reference }) => reference);
    const pipeline = inlineDefinition(modules, (module) => resolve(module).name);
    const stages = readStages(pipeline, this.#parts.limits);
    const name = `inline:${modules.join(",")}`;
    const spec = await this.#preparation.stages(name, stages, "inline.modules", resolve);
    for (const { reference, entry } of chain) {
      if (this.#modules.find(entry.name, entry.version) !== entry)
        throw leatError("MODULE_NOT_FOUND", { module: reference });
    }
    // They may have changed meanwhile.
    return this.#pipelines.addInline(key, inlineUnderLimits(spec, this.#parts.limits));
  }
}

/** What an inline chain is kept under. */
function keyOf(chain: Chain): string {
  return chain.map(({ entry }) => entry.digest).join(",");
}
