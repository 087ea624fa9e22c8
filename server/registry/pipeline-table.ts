/**
 * The pipelines that serve: stored ones by name, and those of chains that calls brought along.
 *
 * @module
 */

import type { Pipeline } from "@leat/proto";
import type { PipelineSpec } from "../bridge/pipeline-spec.ts";
import { leatError } from "../errors.ts";
import type { Limits } from "../limits.ts";
import { type PipelinePurpose, ServingPipeline } from "../pool/serving-pipeline.ts";

/** A stored pipeline: what was put, and what runs. */
export interface StoredPipeline {
  readonly definition: Pipeline;
  /** Undefined for one that was not built yet: it was restored, or a module of it was in quarantine. */
  readonly serving: ServingPipeline | undefined;
}

/** What is known of the revision of a pipeline that serves, beside what it defines. */
export interface RevisionFacts {
  /** Who put it; empty where that is not known. */
  readonly principal: string;
  readonly digest: string;
  /** The newest revision of the name, which need not be the one that serves. */
  readonly newest: number;
}

/** Pipelines by name, and a bounded cache of inline ones. */
export class PipelineTable {
  readonly #limits: Readonly<Limits>;
  readonly #onMade: (pipeline: PipelineSpec) => void;
  readonly #onUnused: (pipeline: PipelineSpec) => void;
  readonly #stored = new Map<string, StoredPipeline>();
  readonly #facts = new Map<string, RevisionFacts>();
  /** In the order of their last use. */
  readonly #inline = new Map<string, ServingPipeline>();
  /** For what guests log and count. */
  readonly #byId = new Map<number, ServingPipeline>();
  /** Called with each change of the stored pipelines. */
  onChange: () => void = () => {};

  /**
   * @param onMade - is told each pipeline that answers calls from now on, no shadow
   * @param onUnused - is told each pipeline that no batch uses any more
   */
  constructor(
    limits: Readonly<Limits>,
    onMade: (pipeline: PipelineSpec) => void,
    onUnused: (pipeline: PipelineSpec) => void,
  ) {
    this.#limits = limits;
    this.#onMade = onMade;
    this.#onUnused = onUnused;
  }

  /** The stored pipeline of a name. */
  stored(name: string): StoredPipeline | undefined {
    return this.#stored.get(name);
  }

  /** The stored pipeline of a name. @throws LeatError PIPELINE_NOT_FOUND */
  get(name: string): StoredPipeline {
    const stored = this.#stored.get(name);
    if (stored === undefined) throw leatError("PIPELINE_NOT_FOUND", { pipeline: name });
    return stored;
  }

  /** All stored pipelines, by name. */
  list(): StoredPipeline[] {
    return [...this.#stored.keys()].sort().map((name) => this.#stored.get(name) as StoredPipeline);
  }

  /** @throws LeatError TOO_MANY_PIPELINES when no further pipeline may be stored */
  checkRoom(): void {
    const { maxPipelines } = this.#limits;
    if (this.#stored.size < maxPipelines) return;
    throw leatError("TOO_MANY_PIPELINES", {
      limit: "maxPipelines",
      value: maxPipelines,
      measured: this.#stored.size + 1,
    });
  }

  /** Stores a pipeline in place of the one of its name. Batches in flight finish on the old one. */
  put(definition: Pipeline, spec: PipelineSpec | undefined): StoredPipeline {
    const stored = { definition, serving: spec && this.makeServing(spec) };
    this.#replace(stored);
    return stored;
  }

  /** As {@link put}, for another revision than the one that serves. */
  putRevision(definition: Pipeline, spec: PipelineSpec | undefined, facts: RevisionFacts): StoredPipeline {
    this.#facts.set(definition.name, facts);
    return this.put(definition, spec);
  }

  /** What is known of the revision of a pipeline that serves. */
  facts(name: string): RevisionFacts | undefined {
    return this.#facts.get(name);
  }

  /** As {@link put}, for a pipeline that was built. @returns what runs */
  serve(definition: Pipeline, spec: PipelineSpec): ServingPipeline {
    const serving = this.makeServing(spec);
    this.#replace({ definition, serving });
    return serving;
  }

  #replace(stored: StoredPipeline): void {
    const { name } = stored.definition;
    const before = this.#stored.get(name);
    this.#stored.set(name, stored);
    before?.serving?.retire();
    this.onChange();
  }

  /** Deletes a stored pipeline. Batches in flight finish. */
  delete(name: string): void {
    const before = this.#stored.get(name);
    this.#stored.delete(name);
    this.#facts.delete(name);
    before?.serving?.retire();
    this.onChange();
  }

  /** The pipeline of an inline chain that was built before. */
  inline(key: string): ServingPipeline | undefined {
    const found = this.#inline.get(key);
    if (found !== undefined) {
      this.#inline.delete(key);
      this.#inline.set(key, found);
    }
    return found;
  }

  /** Keeps the pipeline of an inline chain; the one unused for longest gives way. */
  addInline(key: string, spec: PipelineSpec): ServingPipeline {
    const serving = this.makeServing(spec);
    this.#inline.get(key)?.retire();
    this.#inline.set(key, serving);
    for (const [oldest, pipeline] of this.#inline) {
      if (this.#inline.size <= this.#limits.maxInlinePipelines) break;
      this.#inline.delete(oldest);
      pipeline.retire();
    }
    return serving;
  }

  /** Puts another pipeline in the place of each that serves. Batches in flight finish on the old ones. */
  replaceAll(
    stored: (spec: PipelineSpec, definition: Pipeline) => PipelineSpec,
    inline: (spec: PipelineSpec) => PipelineSpec,
  ): void {
    for (const { definition, serving } of this.list())
      if (serving !== undefined) this.serve(definition, stored(serving.spec, definition));
    for (const [key, serving] of this.#inline) {
      this.#inline.set(key, this.makeServing(inline(serving.spec)));
      serving.retire();
    }
  }

  /** Forgets inline chains that run a module. */
  dropInlineOf(digest: string): void {
    for (const [key, pipeline] of this.#inline) {
      if (!pipeline.spec.stages.some((stage) => stage.digest === digest)) continue;
      this.#inline.delete(key);
      pipeline.retire();
    }
  }

  /** The pipeline of an id, while batches may still run through it. */
  byId(id: number): PipelineSpec | undefined {
    return this.#byId.get(id)?.spec;
  }

  /** A pipeline that can run, and is found by its id, unless it is a shadow: what shadows log and count is dropped. */
  makeServing(spec: PipelineSpec, purpose: PipelinePurpose = "serve"): ServingPipeline {
    const unused = (): void => {
      this.#byId.delete(spec.id);
      this.#onUnused(spec);
    };
    const serving = new ServingPipeline(spec, unused, purpose);
    if (purpose === "serve") {
      this.#byId.set(spec.id, serving);
      this.#onMade(spec);
    }
    return serving;
  }
}
