/**
 * Makes a pipeline that can run from one that is defined: finds its modules, compiles them, gives it an id.
 *
 * @module
 */

import type { Isolation, PipelineSpec, StageSpec } from "../bridge/pipeline-spec.ts";
import { LeatError, leatError } from "../errors.ts";
import { batchLimitsOf } from "../limit-changes.ts";
import type { Limits } from "../limits.ts";
import type { CompiledModuleCache } from "../module/cache.ts";
import type { ModuleStore } from "../store/module-store.ts";
import type { LedgerRows } from "../supervision/ledger-rows.ts";
import type { Quarantine } from "../supervision/quarantine.ts";
import type { ModuleCatalog, ModuleEntry } from "./module-catalog.ts";
import { compiledCode, makeCode, type ReadyModule } from "./module-code.ts";
import type { ModuleSignatures } from "./module-signatures.ts";
import type { StageDefinition } from "./pipeline-definition.ts";
import { checkMayRun } from "./standing.ts";

let lastId = 0;

/** An id that no pipeline of this process has had. */
export function nextPipelineId(): number {
  return ++lastId;
}

/** Looks a reference up; by default in the catalog. */
export type ResolveModule = (reference: string) => ModuleEntry;

/** What pipelines are built with. */
export interface BuilderParts {
  readonly limits: Readonly<Limits>;
  readonly store: ModuleStore;
  readonly cache: CompiledModuleCache;
  readonly quarantine: Quarantine;
  readonly signatures: ModuleSignatures;
  readonly ledger: LedgerRows | undefined;
  /** Where pipelines run that say nothing of it. */
  readonly isolation: Isolation;
}

/** Builds pipelines. */
export class PipelineBuilder {
  readonly #parts: BuilderParts;
  readonly #catalog: ModuleCatalog;

  constructor(parts: BuilderParts, catalog: ModuleCatalog) {
    this.#parts = parts;
    this.#catalog = catalog;
  }

  /**
   * @param resolve - finds modules instead of the catalog, when a change of the catalog is only tried
   * @throws LeatError MODULE_NOT_FOUND, MODULE_QUARANTINED, what is wrong with a signature, or what compilation says
   */
  async build(
    name: string,
    stages: readonly StageDefinition[],
    resolve: ResolveModule = (reference) => this.#catalog.resolve(reference),
  ): Promise<PipelineSpec> {
    // A pipeline runs in one place: one stage that asks for a process takes the others along.
    const isolation = stages.some((stage) => stage.isolation === "process") ? "process" : undefined;
    const entries = stages.map((stage) => resolve(stage.module));
    for (const entry of entries) checkMayRun(this.#parts, entry);
    const built = await Promise.all(
      stages.map((stage, index) =>
        this.#buildStage(stage, isolation ?? this.#parts.isolation, entries[index] as ModuleEntry),
      ),
    );
    const probation = Math.max(
      0,
      ...entries.map(({ digest }) => this.#parts.quarantine.probationUntilMs(digest)),
    );
    return {
      id: nextPipelineId(),
      name,
      stages: built,
      isolation,
      limits: batchLimitsOf(this.#parts.limits),
      probationUntilMs: probation,
    };
  }

  async #buildStage(stage: StageDefinition, isolation: Isolation, entry: ModuleEntry): Promise<StageSpec> {
    const compiled = await this.#compile(stage.memoryBytes, isolation, entry);
    const { name: module, version, digest } = entry;
    return {
      name: stage.name,
      module,
      version,
      digest,
      identity: { stage: stage.name, module, version, digest },
      code: compiled.code,
      codeSectionShiftBytes: compiled.inspected.codeSectionShiftBytes,
      instanceHeapBytes: compiled.inspected.instanceHeapBytes,
      configJson: stage.configJson,
      batchTimeoutMs: stage.batchTimeoutMs,
      recordTimeoutMs: stage.recordTimeoutMs,
      memoryBytes: stage.memoryBytes,
      onFailure: stage.onFailure,
      retry: stage.retry,
      breaker: stage.breaker,
      fresh: stage.fresh,
      when: stage.when,
    };
  }

  /** A module under the server's limits. @throws LeatError MODULE_FILE_BROKEN, or what compilation says */
  compile(entry: ModuleEntry): Promise<ReadyModule> {
    return this.#compile(this.#parts.limits.maxGuestMemoryBytes, this.#parts.isolation, entry);
  }

  /** A stage with a memory limit of its own has the module compiled for it, since the limit is part of the code. */
  async #compile(memoryBytes: number, isolation: Isolation, entry: ModuleEntry): Promise<ReadyModule> {
    const { limits, cache, ledger } = this.#parts;
    const read = (): Promise<Uint8Array> => this.#read(entry);
    await this.#parts.signatures.see(entry, read);
    const compile = async (): Promise<ReadyModule> =>
      isolation === "thread" && memoryBytes === limits.maxGuestMemoryBytes
        ? compiledCode(await cache.load(entry.digest, read))
        : makeCode(await read(), isolation, { ...limits, maxGuestMemoryBytes: memoryBytes });
    return ledger?.whileCompiling(entry.digest, compile) ?? compile();
  }

  /** A file that cannot be used is remembered, so that whoever lists the modules sees it. */
  async #read({ digest }: ModuleEntry): Promise<Uint8Array> {
    try {
      const wasm = await this.#parts.store.get(digest);
      if (wasm === undefined) throw leatError("MODULE_FILE_BROKEN", { digest, problem: "it is missing" });
      this.#catalog.setProblem(digest, undefined);
      return wasm;
    } catch (error) {
      const problem = LeatError.from(error).metadata["problem"] ?? "it cannot be read";
      // What was found first tells most: a broken file that was set aside is missing from then on.
      if (this.#catalog.has(digest))
        this.#catalog.setProblem(digest, this.#catalog.problemOf(digest) ?? problem);
      throw error;
    }
  }
}
