/**
 * Makes a pipeline that can run from one that is defined: finds its modules, compiles them, gives it an id.
 *
 * @module
 */

import type { PipelineSpec, StageSpec } from "../bridge/pipeline-spec.ts";
import { leatError } from "../errors.ts";
import type { Limits } from "../limits.ts";
import type { CompiledModuleCache } from "../module/cache.ts";
import { type CompiledModule, compileModule } from "../module/compile.ts";
import type { ModuleStore } from "../store/module-store.ts";
import type { LedgerRows } from "../supervision/ledger-rows.ts";
import type { Quarantine } from "../supervision/quarantine.ts";
import type { ModuleCatalog, ModuleEntry } from "./module-catalog.ts";
import type { StageDefinition } from "./pipeline-definition.ts";

let lastId = 0;

/** An id that no pipeline of this process has had. */
export function nextPipelineId(): number {
  return ++lastId;
}

/** Looks a reference up; by default in the catalog. */
export type ResolveModule = (reference: string) => ModuleEntry;

/** Builds pipelines. */
export class PipelineBuilder {
  readonly #limits: Readonly<Limits>;
  readonly #catalog: ModuleCatalog;
  readonly #store: ModuleStore;
  readonly #cache: CompiledModuleCache;
  readonly #quarantine: Quarantine;
  readonly #ledger: LedgerRows | undefined;

  constructor(
    limits: Readonly<Limits>,
    catalog: ModuleCatalog,
    store: ModuleStore,
    cache: CompiledModuleCache,
    quarantine: Quarantine,
    ledger: LedgerRows | undefined,
  ) {
    this.#limits = limits;
    this.#catalog = catalog;
    this.#store = store;
    this.#cache = cache;
    this.#quarantine = quarantine;
    this.#ledger = ledger;
  }

  /**
   * @param resolve - finds modules instead of the catalog, when a change of the catalog is only tried
   * @throws LeatError MODULE_NOT_FOUND, MODULE_QUARANTINED, or what compilation says
   */
  async build(
    name: string,
    stages: readonly StageDefinition[],
    resolve: ResolveModule = (reference) => this.#catalog.resolve(reference),
  ): Promise<PipelineSpec> {
    const entries = stages.map((stage) => resolve(stage.module));
    for (const { digest, name: module, version } of entries)
      this.#quarantine.check(digest, `${module}@${version}`);
    const built = await Promise.all(
      stages.map((stage, index) => this.#buildStage(stage, entries[index] as ModuleEntry)),
    );
    const probation = Math.max(0, ...entries.map(({ digest }) => this.#quarantine.probationUntilMs(digest)));
    return { id: nextPipelineId(), name, stages: built, probationUntilMs: probation };
  }

  async #buildStage(stage: StageDefinition, entry: ModuleEntry): Promise<StageSpec> {
    const compiled = await this.#compile(stage, entry);
    const { name: module, version, digest } = entry;
    return {
      name: stage.name,
      module,
      version,
      digest,
      identity: { stage: stage.name, module, version, digest },
      compiled: compiled.module,
      codeSectionShiftBytes: compiled.inspected.codeSectionShiftBytes,
      configJson: stage.configJson,
      batchTimeoutMs: stage.batchTimeoutMs,
      recordTimeoutMs: stage.recordTimeoutMs,
      memoryBytes: stage.memoryBytes,
      onFailure: stage.onFailure,
      retry: stage.retry,
      breaker: stage.breaker,
      fresh: stage.fresh,
    };
  }

  /** A stage with a memory limit of its own has the module compiled for it, since the limit is part of the code. */
  async #compile(stage: StageDefinition, entry: ModuleEntry): Promise<CompiledModule> {
    const read = async (): Promise<Uint8Array> => {
      const wasm = await this.#store.get(entry.digest);
      if (wasm === undefined)
        throw leatError("MODULE_NOT_FOUND", { module: `${entry.name}@${entry.version}` });
      return wasm;
    };
    const compile = async (): Promise<CompiledModule> =>
      stage.memoryBytes === this.#limits.maxGuestMemoryBytes
        ? this.#cache.load(entry.digest, read)
        : compileModule(await read(), { ...this.#limits, maxGuestMemoryBytes: stage.memoryBytes });
    return this.#ledger?.whileCompiling(entry.digest, compile) ?? compile();
  }
}
