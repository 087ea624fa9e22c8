/**
 * Changes of the stored pipelines: puts, rollbacks, deletions. Each put that changes something makes a revision.
 *
 * @module
 */

import { clone, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Pipeline, PipelineSchema } from "@leat/proto";
import { leatError } from "../errors.ts";
import type { RevisionInfo } from "../store/registry-store.ts";
import type { ModuleCatalog } from "./module-catalog.ts";
import type { WhenHeld } from "./module-loader.ts";
import { readStages } from "./pipeline-definition.ts";
import { digestOfPipeline } from "./pipeline-digest.ts";
import type { PipelineTable, StoredPipeline } from "./pipeline-table.ts";
import type { Preparation } from "./preparation.ts";
import type { RegistryParts } from "./registry-parts.ts";
import { readDefinition } from "./restore.ts";
import { refusalOf } from "./standing.ts";
import type { Turnstile } from "./turnstile.ts";

/** How a pipeline is to be put. */
export interface PutOptions {
  /** Who puts it; empty where that is not known. Default: empty. */
  readonly principal?: string;
  /** What to do with one of a module that must not run now. Default: refuse it. */
  readonly whenHeld?: WhenHeld;
  /** The revision that serves now, or 0 for none. Default: whichever. */
  readonly expectedRevision?: number | undefined;
  /** Whether to check only. Default false. */
  readonly validateOnly?: boolean;
}

/** What a put gave. */
export interface PutOutcome {
  /** As it is stored, or would be. */
  readonly definition: Pipeline;
  /** Whether it was there already just so. */
  readonly unchanged: boolean;
}

/** Where to roll back to. */
export interface RollbackOptions {
  /** 0 for the one that served before the one that is left. Default 0. */
  readonly revision?: number;
  /** The revision that is left. Default: whichever serves. */
  readonly expectedRevision?: number | undefined;
  /** Whether to check only. Default false. */
  readonly validateOnly?: boolean;
}

/** What a rollback gave. */
export interface RollbackOutcome {
  /** As it serves now, or would. */
  readonly definition: Pipeline;
  /** The revision that served before. */
  readonly previousRevision: number;
  readonly alreadyServing: boolean;
}

/** Changes pipelines and knows what they were before. */
export class PipelineRevisions {
  readonly #parts: RegistryParts;
  readonly #modules: ModuleCatalog;
  readonly #pipelines: PipelineTable;
  readonly #preparation: Preparation;
  readonly #turnstile: Turnstile;
  readonly #onChanged: () => void;

  /** @param onChanged - is told after each change */
  constructor(
    parts: RegistryParts,
    modules: ModuleCatalog,
    pipelines: PipelineTable,
    preparation: Preparation,
    turnstile: Turnstile,
    onChanged: () => void,
  ) {
    this.#parts = parts;
    this.#modules = modules;
    this.#pipelines = pipelines;
    this.#preparation = preparation;
    this.#turnstile = turnstile;
    this.#onChanged = onChanged;
  }

  /** Stores a pipeline. @throws LeatError as PutPipeline documents */
  put(pipeline: Pipeline, options: PutOptions = {}): Promise<PutOutcome> {
    return this.#turnstile.run(async () => {
      const before = this.#pipelines.stored(pipeline.name);
      this.#checkExpected(pipeline.name, before, options.expectedRevision);
      readStages(pipeline, this.#parts.limits);
      const digest = digestOfPipeline(pipeline);
      const facts = this.#pipelines.facts(pipeline.name);
      if (before !== undefined && facts?.digest === digest) {
        await this.#buildAgain(before, options);
        return { definition: before.definition, unchanged: true };
      }
      if (before === undefined) this.#pipelines.checkRoom();
      const timeMs = Math.floor(this.#parts.clock.nowMs());
      const definition = clone(PipelineSchema, pipeline);
      definition.revision = (facts?.newest ?? 0) + 1;
      definition.updateTime = timestampFromMs(timeMs);
      const waits = options.whenHeld === "keep" && this.#waitsForRelease(definition);
      const spec = waits ? undefined : await this.#preparation.pipeline(definition, undefined, "call");
      if (options.validateOnly === true) return { definition, unchanged: false };
      const { name, revision } = definition;
      const { principal = "" } = options;
      const previous = before?.definition.revision ?? 0;
      const stored = { name, revision, timeMs, principal, digest, previous };
      const step = {
        t: "pipeline",
        revision: { ...stored, definition: toBinary(PipelineSchema, definition) },
        keep: this.#parts.limits.maxPipelineRevisions,
      } as const;
      await this.#parts.records.commit([step]);
      this.#pipelines.putRevision(definition, spec, { principal, digest, newest: revision });
      this.#onChanged();
      return { definition, unchanged: false };
    });
  }

  /** One that was restored and not built yet is built, since a put promises that it can run. */
  async #buildAgain({ definition, serving }: StoredPipeline, options: PutOptions): Promise<void> {
    if (serving !== undefined) return;
    if (options.whenHeld === "keep" && this.#waitsForRelease(definition)) return;
    const spec = await this.#preparation.pipeline(definition);
    if (options.validateOnly !== true) this.#pipelines.serve(definition, spec);
  }

  #waitsForRelease(definition: Pipeline): boolean {
    return definition.stages.some(
      (stage) => refusalOf(this.#parts, this.#modules.resolve(stage.module)) !== undefined,
    );
  }

  #checkExpected(name: string, before: StoredPipeline | undefined, expected: number | undefined): void {
    const serving = before?.definition.revision ?? 0;
    if (expected === undefined || expected === serving) return;
    throw leatError("PIPELINE_REVISION_CHANGED", { pipeline: name, expected, serving });
  }

  /** Lets another revision serve. @throws LeatError as RollbackPipeline documents */
  rollback(name: string, options: RollbackOptions = {}): Promise<RollbackOutcome> {
    return this.#turnstile.run(async () => {
      const before = this.#pipelines.get(name);
      const previousRevision = before.definition.revision;
      const left = options.expectedRevision ?? previousRevision;
      const revision = options.revision || (await this.#before(name, left));
      if (revision === previousRevision)
        return { definition: before.definition, previousRevision, alreadyServing: true };
      this.#checkExpected(name, before, left);
      if (revision === undefined) throw leatError("PIPELINE_NO_PREVIOUS", { pipeline: name, revision: left });
      const { definition, principal, digest } = await this.#stored(name, revision);
      const spec = await this.#preparation.pipeline(definition);
      const outcome = { definition, previousRevision, alreadyServing: false };
      if (options.validateOnly === true) return outcome;
      await this.#parts.records.commit([{ t: "pipeline-head", name, revision }]);
      const newest = this.#pipelines.facts(name)?.newest ?? previousRevision;
      this.#pipelines.putRevision(definition, spec, { principal, digest, newest });
      this.#onChanged();
      return outcome;
    });
  }

  /** The revision that served before another one was put; undefined where it is not kept. */
  async #before(name: string, revision: number): Promise<number | undefined> {
    const { previous = 0 } = (await this.#parts.records.revision(name, revision)) ?? {};
    if (previous === 0) return undefined;
    return (await this.#parts.records.revision(name, previous))?.revision;
  }

  /** One revision. @throws LeatError PIPELINE_NOT_FOUND, PIPELINE_REVISION_NOT_FOUND, STORE_UNAVAILABLE */
  async read(name: string, revision: number): Promise<Pipeline> {
    this.#pipelines.get(name);
    return (await this.#stored(name, revision)).definition;
  }

  async #stored(name: string, revision: number) {
    const stored = await this.#parts.records.revision(name, revision);
    if (stored === undefined) throw leatError("PIPELINE_REVISION_NOT_FOUND", { pipeline: name, revision });
    const definition = readDefinition(stored.definition);
    if (typeof definition === "string") throw leatError("STORE_UNAVAILABLE", { problem: definition });
    return { ...stored, definition, digest: stored.digest || digestOfPipeline(definition) };
  }

  /** The revisions that are kept, oldest first. @throws LeatError PIPELINE_NOT_FOUND, STORE_UNAVAILABLE */
  async list(name: string): Promise<readonly RevisionInfo[]> {
    this.#pipelines.get(name);
    return this.#parts.records.revisions(name);
  }

  /** Deletes a pipeline. @throws LeatError PIPELINE_NOT_FOUND, STORE_UNAVAILABLE */
  delete(name: string): Promise<void> {
    return this.#turnstile.run(async () => {
      this.#pipelines.get(name);
      await this.#parts.records.commit([{ t: "delete-pipeline", name }]);
      this.#pipelines.delete(name);
      this.#onChanged();
    });
  }
}
