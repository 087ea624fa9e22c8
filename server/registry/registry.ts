/**
 * The control plane's state: modules, pipelines, and every change of them. A change that fails
 * leaves everything as it was.
 *
 * @module
 */

import { clone } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Pipeline, PipelineSchema, type Target } from "@leat/proto";
import type { PipelineSpec } from "../bridge/pipeline-spec.ts";
import type { Clock } from "../clock.ts";
import { leatError } from "../errors.ts";
import type { Limits } from "../limits.ts";
import { checkAbi } from "../module/abi.ts";
import type { CompiledModuleCache } from "../module/cache.ts";
import { type CompiledModule, compileModule, digestOf } from "../module/compile.ts";
import { inspectModule } from "../module/inspect.ts";
import type { Pool } from "../pool/pool.ts";
import type { ServingPipeline } from "../pool/serving-pipeline.ts";
import type { ModuleStore } from "../store/module-store.ts";
import type { LedgerRows } from "../supervision/ledger-rows.ts";
import type { Quarantine } from "../supervision/quarantine.ts";
import type { BookEntry } from "../supervision/quarantine-book.ts";
import { inlineDefinition } from "./inline-definition.ts";
import { ModuleCatalog, type ModuleEntry } from "./module-catalog.ts";
import { aloneSpec, moduleEntry } from "./module-entry.ts";
import { checkName, parseReference } from "./names.ts";
import { nextPipelineId, PipelineBuilder, type ResolveModule } from "./pipeline-builder.ts";
import { readConfig, readStages } from "./pipeline-definition.ts";
import { PipelineTable, type StoredPipeline } from "./pipeline-table.ts";
import { Turnstile } from "./turnstile.ts";
import { WarmUp, warmUpError } from "./warm-up.ts";

/** A module to load. */
export interface ModuleLoad {
  readonly name: string;
  /** Empty takes the first 12 digits of the digest. */
  readonly version: string;
  readonly wasm: Uint8Array;
  /** Configuration for the warm-up; empty passes `{}` and forgives its refusal. */
  readonly sampleConfigJson: string;
  readonly dryRun: boolean;
  /** What to do with a module in quarantine. Default: refuse it. */
  readonly whenHeld?: WhenHeld;
}

/**
 * What to do with a module in quarantine, or a pipeline of one: refuse it, or keep it without letting it run, so that
 * it is there when the quarantine ends.
 */
export type WhenHeld = "refuse" | "keep";

/** Everything the registry works with. */
export interface RegistryParts {
  readonly limits: Readonly<Limits>;
  readonly clock: Clock;
  readonly store: ModuleStore;
  readonly cache: CompiledModuleCache;
  readonly pool: Pool;
  readonly quarantine: Quarantine;
  /** Where it is said what is being compiled; undefined where nobody supervises the process. */
  readonly ledger: LedgerRows | undefined;
  /** Told how long each compilation of a loaded module took, in microseconds. */
  readonly onCompiled: (compileUs: number) => void;
  /** Told the digest of each module that no name is bound to any more. */
  readonly onUnloaded: (digest: string) => void;
  /** Told the id of each pipeline that no batch uses any more. */
  readonly onPipelineUnused: (pipeline: number) => void;
}

/** Which modules and pipelines there are. */
export class Registry {
  readonly modules: ModuleCatalog;
  readonly pipelines: PipelineTable;
  readonly #parts: RegistryParts;
  readonly #builder: PipelineBuilder;
  readonly #warmUp: WarmUp;
  readonly #turnstile = new Turnstile();
  readonly #building = new Map<string, Promise<ServingPipeline>>();

  constructor(parts: RegistryParts) {
    this.#parts = parts;
    this.modules = new ModuleCatalog(parts.limits);
    this.pipelines = new PipelineTable(parts.limits, parts.onPipelineUnused);
    this.#builder = new PipelineBuilder(
      parts.limits,
      this.modules,
      parts.store,
      parts.cache,
      parts.quarantine,
      parts.ledger,
    );
    this.#warmUp = new WarmUp(parts.pool, parts.clock);
  }

  /**
   * Checks, compiles, warms up and stores a module. Pipelines that follow the module's active version
   * move to the new one, all together or, when one of them does not take it, not at all.
   *
   * @throws LeatError as LoadModule documents
   */
  load(load: ModuleLoad): Promise<{ entry: ModuleEntry; alreadyLoaded: boolean }> {
    return this.#turnstile.run(() => this.#load(load));
  }

  async #load(load: ModuleLoad): Promise<{ entry: ModuleEntry; alreadyLoaded: boolean }> {
    checkName("name", load.name);
    if (load.version !== "") checkName("version", load.version);
    const { limits } = this.#parts;
    const configJson = readConfig(load.sampleConfigJson, "sample_config_json", limits);
    const digest = await digestOf(load.wasm);
    const version = load.version === "" ? digest.slice(7, 19) : load.version;
    if (this.#parts.quarantine.held(digest) !== undefined) return this.#loadHeld(load, version, digest);
    const compile = () => compileModule(load.wasm, limits);
    const compiled = await (this.#parts.ledger?.whileCompiling(digest, compile) ?? compile());
    this.#parts.onCompiled(compiled.compileUs);
    const present = this.#present(load.name, version, digest);
    if (present !== undefined) return { entry: present, alreadyLoaded: true };
    const entry = moduleEntry(load, { ...compiled, version, loadTimeMs: this.#parts.clock.nowMs() });
    await this.#warmModule(entry, compiled, configJson, load.sampleConfigJson !== "");
    if (load.dryRun) return { entry, alreadyLoaded: false };
    await this.#parts.store.put(entry.digest, load.wasm);
    this.#parts.cache.put(compiled);
    const moved = await this.#prepareFollowers(entry).catch(async (error) => {
      await this.#forgetUnused(entry.digest);
      throw error;
    });
    this.modules.add(entry);
    for (const { definition, spec } of moved) this.pipelines.put(definition, spec);
    return { entry, alreadyLoaded: false };
  }

  /** The entry of a module that is there already. @throws LeatError when its place is taken, or there is none left */
  #present(name: string, version: string, digest: string): ModuleEntry | undefined {
    const present = this.modules.find(name, version);
    if (present === undefined) this.modules.checkRoom();
    else if (present.digest !== digest)
      throw leatError("MODULE_VERSION_BOUND", { module: `${name}@${version}`, digest: present.digest });
    return present;
  }

  /** Keeps a module in quarantine without compiling it. */
  async #loadHeld(
    load: ModuleLoad,
    version: string,
    digest: string,
  ): Promise<{ entry: ModuleEntry; alreadyLoaded: boolean }> {
    const { limits, quarantine, store } = this.#parts;
    if (load.whenHeld !== "keep") quarantine.check(digest, `${load.name}@${version}`);
    const present = this.#present(load.name, version, digest);
    if (present !== undefined) return { entry: present, alreadyLoaded: true };
    const inspected = inspectModule(load.wasm, limits);
    checkAbi(inspected);
    const entry = moduleEntry(load, {
      version,
      digest,
      inspected,
      compileUs: 0,
      loadTimeMs: this.#parts.clock.nowMs(),
    });
    await store.put(digest, load.wasm);
    this.modules.add(entry);
    return { entry, alreadyLoaded: false };
  }

  /** Lets go of a binary that no module has. */
  async #forgetUnused(digest: string): Promise<void> {
    if (this.modules.list().some((entry) => entry.digest === digest)) return;
    this.#parts.cache.delete(digest);
    await this.#parts.store.delete(digest);
  }

  async #warmModule(
    entry: ModuleEntry,
    compiled: CompiledModule,
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

  /** Builds and warms the pipelines that will move to a new active version. */
  async #prepareFollowers(
    entry: ModuleEntry,
  ): Promise<{ definition: Pipeline; spec: PipelineSpec | undefined }[]> {
    const resolve: ResolveModule = (reference) => {
      const parsed = parseReference(reference);
      return parsed.t === "active" && parsed.name === entry.name ? entry : this.modules.resolve(reference);
    };
    const followers = this.pipelines
      .list()
      .filter(({ definition }) => definition.stages.some((stage) => stage.module === entry.name));
    const prepared = [];
    for (const { definition } of followers) {
      const held = definition.stages.some((stage) => this.#isHeld(resolve(stage.module)));
      prepared.push({ definition, spec: held ? undefined : await this.#prepare(definition, resolve) });
    }
    return prepared;
  }

  /** Takes a module out. @throws LeatError MODULE_NOT_FOUND, MODULE_AMBIGUOUS, MODULE_IN_USE */
  unload(reference: string): Promise<ModuleEntry> {
    return this.#turnstile.run(async () => {
      const entry = this.modules.resolveExactly(reference);
      const users = this.usersOf(entry);
      if (users.length > 0) {
        const module = `${entry.name}@${entry.version}`;
        throw leatError("MODULE_IN_USE", { module, pipelines: users.join(", ") });
      }
      const { digestStillUsed } = this.modules.remove(entry);
      if (!digestStillUsed) {
        this.pipelines.dropInlineOf(entry.digest);
        this.#parts.cache.delete(entry.digest);
        this.#parts.onUnloaded(entry.digest);
        await this.#parts.store.delete(entry.digest);
      }
      return entry;
    });
  }

  /** The names of the stored pipelines that run a module version now. */
  usersOf(entry: ModuleEntry): string[] {
    return this.pipelines
      .list()
      .filter(({ definition, serving }) =>
        serving === undefined
          ? definition.stages.some((stage) => this.modules.resolve(stage.module) === entry)
          : serving.spec.stages.some(
              (stage) => stage.module === entry.name && stage.version === entry.version,
            ),
      )
      .map(({ definition }) => definition.name);
  }

  /** Stores a pipeline. @throws LeatError as PutPipeline documents */
  putPipeline(pipeline: Pipeline, whenHeld: WhenHeld = "refuse"): Promise<StoredPipeline> {
    return this.#turnstile.run(async () => {
      const before = this.pipelines.stored(pipeline.name);
      if (before === undefined) this.pipelines.checkRoom();
      const definition = clone(PipelineSchema, pipeline);
      definition.revision = (before?.definition.revision ?? 0) + 1;
      definition.updateTime = timestampFromMs(Math.floor(this.#parts.clock.nowMs()));
      if (whenHeld === "keep" && this.#waitsForRelease(definition)) {
        readStages(definition, this.#parts.limits);
        return this.pipelines.put(definition, undefined);
      }
      const spec = await this.#prepare(definition);
      return this.pipelines.put(definition, spec);
    });
  }

  #waitsForRelease(definition: Pipeline): boolean {
    return definition.stages.some((stage) => this.#isHeld(this.modules.resolve(stage.module)));
  }

  #isHeld({ digest }: ModuleEntry): boolean {
    return this.#parts.quarantine.held(digest) !== undefined;
  }

  /** @throws LeatError MODULE_QUARANTINED */
  #checkHeld({ digest, name, version }: ModuleEntry): void {
    this.#parts.quarantine.check(digest, `${name}@${version}`);
  }

  /** What is held against a module in quarantine. */
  heldEntry({ digest }: ModuleEntry): BookEntry | undefined {
    return this.#parts.quarantine.held(digest);
  }

  /** All that is in quarantine, each with the module of that digest that was loaded first, when there is one. */
  quarantined(): { readonly held: BookEntry; readonly entry: ModuleEntry | undefined }[] {
    const held = this.#parts.quarantine.list();
    if (held.length === 0) return [];
    const entries = this.modules.list();
    return held.map((each) => ({
      held: each,
      entry: entries.find(({ digest }) => digest === each.digest),
    }));
  }

  /** Ends a module's quarantine. @throws LeatError MODULE_NOT_FOUND when it is neither loaded nor in quarantine */
  release(reference: string): { readonly digest: string; readonly wasQuarantined: boolean } {
    const parsed = parseReference(reference);
    const known = parsed.t === "digest" && this.#parts.quarantine.held(parsed.digest) !== undefined;
    const digest = known ? parsed.digest : this.modules.resolve(reference).digest;
    return { digest, wasQuarantined: this.#parts.quarantine.release(digest) };
  }

  /** Deletes a pipeline. @throws LeatError PIPELINE_NOT_FOUND */
  deletePipeline(name: string): Promise<void> {
    return this.#turnstile.run(async () => {
      this.getPipeline(name);
      this.pipelines.delete(name);
    });
  }

  /** A stored pipeline. @throws LeatError PIPELINE_NOT_FOUND */
  getPipeline(name: string): StoredPipeline {
    const stored = this.pipelines.stored(name);
    if (stored === undefined) throw leatError("PIPELINE_NOT_FOUND", { pipeline: name });
    return stored;
  }

  async #prepare(definition: Pipeline, resolve?: ResolveModule): Promise<PipelineSpec> {
    const stages = readStages(definition, this.#parts.limits);
    const spec = await this.#builder.build(definition.name, stages, resolve);
    const problem = await this.#warmUp.run({ ...spec, id: nextPipelineId() });
    if (problem !== undefined) throw warmUpError(problem, spec);
    return spec;
  }

  /**
   * The pipeline that a call's target names, when nothing has to be built for it.
   *
   * @throws LeatError PIPELINE_NOT_FOUND, MODULE_NOT_FOUND, MODULE_QUARANTINED, REQUEST_INVALID
   */
  resolveNow(target: Target | undefined): ServingPipeline | undefined {
    switch (target?.target.case) {
      case "pipeline":
        return this.#serving(this.getPipeline(target.target.value));
      case "inline":
        return this.pipelines.inline(this.#inlineKey(target.target.value.modules));
      default:
        throw leatError("REQUEST_INVALID", {
          field: "target",
          problem: "name a pipeline or an inline chain of modules",
        });
    }
  }

  /** The pipeline that runs; undefined for one that was kept in quarantine and may be built now. */
  #serving({ definition, serving }: StoredPipeline): ServingPipeline | undefined {
    if (serving === undefined) {
      for (const stage of definition.stages) this.#checkHeld(this.modules.resolve(stage.module));
    }
    return serving;
  }

  /** As {@link resolveNow}, but builds an inline chain that was not used before, or a pipeline that comes out of quarantine. */
  async resolve(target: Target | undefined): Promise<ServingPipeline> {
    const found = this.resolveNow(target);
    if (found !== undefined) return found;
    if (target?.target.case === "pipeline") {
      const name = target.target.value;
      return this.#buildOnce(`pipeline:${name}`, () => this.#buildStored(name));
    }
    const modules = target?.target.case === "inline" ? target.target.value.modules : [];
    const key = this.#inlineKey(modules);
    return this.#buildOnce(key, () => this.#buildInline(key, modules));
  }

  #buildOnce(key: string, build: () => Promise<ServingPipeline>): Promise<ServingPipeline> {
    let building = this.#building.get(key);
    if (building === undefined) {
      building = build().finally(() => this.#building.delete(key));
      this.#building.set(key, building);
    }
    return building;
  }

  #inlineKey(modules: readonly string[]): string {
    const entries = modules.map((module) => this.modules.resolve(module));
    for (const entry of entries) this.#checkHeld(entry);
    return entries.map(({ digest }) => digest).join(",");
  }

  #buildStored(name: string): Promise<ServingPipeline> {
    return this.#turnstile.run(async () => {
      const stored = this.getPipeline(name);
      const serving = this.#serving(stored);
      if (serving !== undefined) return serving;
      const spec = await this.#prepare(stored.definition);
      return this.pipelines.serve(stored.definition, spec);
    });
  }

  async #buildInline(key: string, modules: readonly string[]): Promise<ServingPipeline> {
    const pipeline = inlineDefinition(modules, (module) => this.modules.resolve(module).name);
    const stages = readStages(pipeline, this.#parts.limits);
    const spec = await this.#builder.build(`inline:${modules.join(",")}`, stages);
    const problem = await this.#warmUp.run({ ...spec, id: nextPipelineId() });
    if (problem !== undefined) throw warmUpError(problem, spec);
    return this.pipelines.addInline(key, spec);
  }
}
