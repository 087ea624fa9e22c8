/**
 * The control plane's state: modules, pipelines, and every change of them. A change that fails
 * leaves everything as it was.
 *
 * @module
 */

import type { Pipeline, Target } from "@leat/proto";
import type { PipelineSpec } from "../bridge/pipeline-spec.ts";
import { type LeatError, leatError } from "../errors.ts";
import { sameForBatches } from "../limit-changes.ts";
import type { Limits } from "../limits.ts";
import type { ServingPipeline } from "../pool/serving-pipeline.ts";
import type { Activation, ActivationCause, RegistryStep } from "../store/registry-store.ts";
import type { BookEntry } from "../supervision/quarantine-book.ts";
import { everything } from "./kept-again.ts";
import { checkFit, inlineUnderLimits, underLimits } from "./limit-change.ts";
import { ModuleCatalog, type ModuleEntry } from "./module-catalog.ts";
import { type LoadedModule, type ModuleLoad, ModuleLoader } from "./module-loader.ts";
import type { ModuleSignatures } from "./module-signatures.ts";
import { checkName, parseReference } from "./names.ts";
import { PipelineRevisions } from "./pipeline-revisions.ts";
import { PipelineTable, type StoredPipeline } from "./pipeline-table.ts";
import { Preparation } from "./preparation.ts";
import type { RegistryParts } from "./registry-parts.ts";
import { type Restored, restore } from "./restore.ts";
import { Rollouts } from "./rollouts.ts";
import { Targets } from "./targets.ts";
import { Turnstile } from "./turnstile.ts";

/** A version that was made the active one. */
export interface Activated {
  readonly entry: ModuleEntry;
  /** The version that was active before; undefined when there was none. */
  readonly previous: ModuleEntry | undefined;
  /** Whether it was active already, so that nothing changed. */
  readonly alreadyActive: boolean;
}

/** Which modules and pipelines there are. */
export class Registry {
  readonly modules: ModuleCatalog;
  readonly pipelines: PipelineTable;
  readonly signatures: ModuleSignatures;
  readonly #parts: RegistryParts;
  readonly #preparation: Preparation;
  readonly #targets: Targets;
  readonly #loader: ModuleLoader;
  /** Versions that are tried. */
  readonly rollouts: Rollouts;
  /** The changes of pipelines. */
  readonly revisions: PipelineRevisions;
  readonly #turnstile = new Turnstile();

  constructor(parts: RegistryParts) {
    this.#parts = parts;
    this.signatures = parts.signatures;
    this.signatures.onRefused = parts.onChange;
    this.modules = new ModuleCatalog(parts.limits);
    this.pipelines = new PipelineTable(parts.limits, parts.onPipelineMade, parts.onPipelineUnused);
    parts.records.onLost(() => void this.#keepAgain());
    this.#preparation = new Preparation(parts, this.modules, this.pipelines);
    this.#targets = new Targets(parts, this.modules, this.pipelines, this.#preparation, this.#turnstile);
    this.pipelines.onChange = parts.onChange;
    this.modules.onChange = () => {
      this.#targets.modulesChanged();
      parts.onChange();
    };
    this.rollouts = new Rollouts(
      parts,
      this.modules,
      this.pipelines,
      this.#preparation,
      this.#turnstile,
      (entry, beforeCommit) => this.#warmAndSwitchTo(entry, "promote", beforeCommit),
    );
    this.revisions = new PipelineRevisions(
      parts,
      this.modules,
      this.pipelines,
      this.#preparation,
      this.#turnstile,
      () => this.rollouts.pipelinesChanged(),
    );
    this.#loader = new ModuleLoader(parts, this.modules, this.#preparation, (entry, cause, steps) =>
      this.#switchTo(entry, cause, steps),
    );
  }

  /** What serves is written down again where the file that had it is gone. The store tells the log of its failures. */
  async #keepAgain(): Promise<void> {
    await this.#turnstile
      .run(async () => {
        const steps = everything(this.#parts, this.modules, this.pipelines);
        if (steps.length > 0) await this.#parts.records.commit(steps);
      })
      .catch(() => undefined);
  }

  /**
   * Takes up what an earlier server has kept. Nothing is compiled: {@link warmUp}, or the first call, does that.
   *
   * @throws LeatError STORE_UNAVAILABLE
   */
  restore(): Promise<Restored> {
    return this.#turnstile.run(async () => {
      const restored = await restore(this.#parts, this.modules, this.pipelines);
      this.signatures.restore(this.modules.list(), restored.signatures);
      await this.signatures.check(this.modules.list());
      return restored;
    });
  }

  /** Judges the signatures of all modules by the keys that are known now. Those that do not count any more run no longer. @returns those */
  checkSignatures(): Promise<readonly ModuleEntry[]> {
    return this.#turnstile.run(async () => {
      const refused = await this.signatures.check(this.modules.list());
      for (const entry of refused) this.rollouts.refused(entry);
      return refused;
    });
  }

  /**
   * Checks, compiles, warms up and stores a module. Pipelines that follow the module's active version
   * move to the new one, all together or, when one of them does not take it, not at all.
   *
   * @throws LeatError as LoadModule documents
   */
  load(load: ModuleLoad): Promise<LoadedModule> {
    return this.#turnstile.run(() => {
      if (load.noActivate !== true && !load.dryRun) this.rollouts.checkNone(load.name);
      return this.#loader.load(load);
    });
  }

  /**
   * Makes a loaded version the one that its bare name means. Pipelines move as with {@link load}.
   *
   * @throws LeatError as ActivateModule documents
   */
  activate(reference: string): Promise<Activated> {
    return this.#turnstile.run(async () => {
      const entry = this.modules.resolveExactly(reference);
      if (this.modules.isActive(entry)) return { entry, previous: undefined, alreadyActive: true };
      this.rollouts.checkNone(entry.name);
      return this.#warmAndSwitchTo(entry, "activate");
    });
  }

  /** The activations of a name, oldest first. @throws LeatError MODULE_NOT_FOUND */
  historyOf(name: string): readonly Activation[] {
    if (this.modules.list(name).length === 0) throw leatError("MODULE_NOT_FOUND", { module: name });
    return this.modules.history(name);
  }

  /**
   * Goes back to the version that was active before.
   *
   * @param expected - the version that is to be left; default: whichever is active
   * @throws LeatError as RollbackModule documents
   */
  rollback(name: string, expected?: string): Promise<Activated> {
    return this.#turnstile.run(async () => {
      checkName("name", name);
      if (this.modules.list(name).length === 0) throw leatError("MODULE_NOT_FOUND", { module: name });
      const active = this.modules.active(name);
      if (expected !== undefined && active?.version !== expected) {
        const [before, last] = this.modules.history(name).slice(-2);
        if (active !== undefined && last?.cause === "rollback" && before?.version === expected)
          return { entry: active, previous: this.modules.find(name, expected), alreadyActive: true };
        const found = active?.version ?? "";
        throw leatError("MODULE_VERSION_CHANGED", { module: name, expected, active: found });
      }
      this.rollouts.checkNone(name);
      const entry = this.modules.previous(name);
      if (entry === undefined) throw leatError("MODULE_NO_PREVIOUS", { module: name });
      return this.#warmAndSwitchTo(entry, "rollback");
    });
  }

  async #warmAndSwitchTo(
    entry: ModuleEntry,
    cause: ActivationCause,
    beforeCommit?: () => void,
  ): Promise<Activated> {
    const previous = this.modules.active(entry.name);
    const compiled = await this.#preparation.compile(entry);
    await this.#preparation.module(entry, compiled, "{}", false);
    await this.#switchTo(entry, cause, [], beforeCommit);
    return { entry, previous, alreadyActive: false };
  }

  /** Makes the followers ready, writes the change down, and only then lets everything follow. */
  async #switchTo(
    entry: ModuleEntry,
    cause: ActivationCause,
    steps: readonly RegistryStep[],
    beforeCommit: () => void = () => {},
  ): Promise<void> {
    const moved = await this.#preparation.followers(entry);
    const activation = this.#activationOf(entry, cause);
    const keep = this.#parts.limits.maxActivationHistory;
    beforeCommit();
    await this.#parts.records.commit([...steps, { t: "activate", activation, keep }]);
    if (this.modules.find(entry.name, entry.version) === undefined) this.modules.add(entry);
    this.modules.activate(activation);
    for (const { definition, spec } of moved) this.pipelines.put(definition, spec);
    if (cause !== "promote") this.rollouts.pipelinesChanged();
  }

  #activationOf({ name, version, digest }: ModuleEntry, cause: ActivationCause): Activation {
    return { name, version, digest, cause, timeMs: this.#parts.clock.nowMs() };
  }

  /** Takes a module out. @throws LeatError MODULE_NOT_FOUND, MODULE_AMBIGUOUS, MODULE_IN_USE, STORE_UNAVAILABLE */
  unload(reference: string): Promise<ModuleEntry> {
    return this.#turnstile.run(async () => {
      const entry = this.modules.resolveExactly(reference);
      const tried = this.rollouts.triedIn(entry);
      const users = [...this.usersOf(entry), ...(tried === undefined ? [] : [`the rollout of ${tried}`])];
      if (users.length > 0) {
        const module = `${entry.name}@${entry.version}`;
        throw leatError("MODULE_IN_USE", { module, pipelines: users.join(", ") });
      }
      const next = this.#nextAfter(entry);
      const { name, version } = entry;
      const steps: RegistryStep[] = [{ t: "unload", name, version, timeMs: this.#parts.clock.nowMs() }];
      const keep = this.#parts.limits.maxActivationHistory;
      if (next !== undefined) steps.push({ t: "activate", activation: next, keep });
      else if (this.modules.isActive(entry)) steps.push({ t: "deactivate", name });
      await this.#parts.records.commit(steps);
      const { digestStillUsed } = this.modules.remove(entry);
      this.signatures.forget(entry);
      if (next !== undefined) this.modules.activate(next);
      if (!digestStillUsed) {
        this.pipelines.dropInlineOf(entry.digest);
        this.#parts.cache.delete(entry.digest);
        this.#parts.onUnloaded(entry.digest);
        await this.#parts.store.delete(entry.digest);
      }
      return entry;
    });
  }

  /** What is active when an entry has gone: the version before it, or else the one that was loaded last. */
  #nextAfter(entry: ModuleEntry): Activation | undefined {
    if (!this.modules.isActive(entry)) return undefined;
    const others = this.modules.list(entry.name).filter((other) => other !== entry);
    const next = this.modules.previous(entry.name, entry) ?? others.at(-1);
    return next && this.#activationOf(next, "unload");
  }

  /** The names of the stored pipelines that run a module version now. */
  usersOf(entry: ModuleEntry): string[] {
    return this.pipelines
      .list()
      .filter(({ definition, serving }) =>
        serving === undefined
          ? definition.stages.some((stage) => this.#means(stage.module, entry))
          : serving.spec.stages.some(
              (stage) => stage.module === entry.name && stage.version === entry.version,
            ),
      )
      .map(({ definition }) => definition.name);
  }

  #means(reference: string, entry: ModuleEntry): boolean {
    const parsed = parseReference(reference);
    if (parsed.t === "active") return this.modules.active(parsed.name) === entry;
    if (parsed.t === "digest")
      return this.modules.list().find((each) => each.digest === parsed.digest) === entry;
    return parsed.name === entry.name && parsed.version === entry.version;
  }

  /** What is held against a module in quarantine. */
  heldEntry({ digest }: Pick<ModuleEntry, "digest">): BookEntry | undefined {
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

  /** Why a stored pipeline that does not run could not be built, where that was tried. */
  buildFailure(definition: Pipeline): LeatError | undefined {
    return this.#targets.buildFailure(definition);
  }

  /**
   * Moves everything that serves to other limits, at once and all together; batches in flight keep theirs.
   *
   * @param putInForce - is called when nothing can go wrong any more, and makes them those of `RegistryParts.limits`
   * @throws LeatError LIMITS_UNFIT; nothing has changed then
   */
  changeLimits(next: Readonly<Limits>, putInForce: () => void): Promise<void> {
    return this.#turnstile.run(async () => {
      const { limits, places } = this.#parts;
      const definitions = this.pipelines.list().map(({ definition }) => definition);
      checkFit(definitions, limits, next);
      const same = sameForBatches(limits, next) && !places.anyOwn;
      putInForce();
      if (same) return;
      const under = (spec: PipelineSpec, definition: Pipeline) => underLimits(spec, definition, limits);
      this.pipelines.replaceAll(under, (spec) => inlineUnderLimits(spec, limits));
      this.rollouts.pipelinesReplaced(under);
    });
  }

  /** A stored pipeline. @throws LeatError PIPELINE_NOT_FOUND */
  getPipeline(name: string): StoredPipeline {
    return this.pipelines.get(name);
  }

  /** The pipeline that a call's target names, when nothing has to be built for it. @throws LeatError as {@link Targets.resolveNow} */
  resolveNow(target: Target | undefined): ServingPipeline | undefined {
    return this.#targets.resolveNow(target);
  }

  /** A target's pipeline with other versions of its modules, beside the one that serves. @throws LeatError as {@link Targets.withVersions} */
  withVersions(target: Target, versions: readonly string[]): Promise<ServingPipeline> {
    return this.#targets.withVersions(target, versions);
  }

  /** As {@link resolveNow}, but builds what was not built before. */
  resolve(target: Target | undefined): Promise<ServingPipeline> {
    return this.#targets.resolve(target);
  }

  /**
   * Builds the pipelines that were restored and not called yet, one after the other, so that their first callers need
   * not wait. Rests as long after each as it took, since the server works for others meanwhile.
   *
   * @param rest - waits so many milliseconds
   * @param failed - is told of a pipeline that cannot be built
   */
  async warmUp(
    signal: AbortSignal,
    rest: (ms: number) => Promise<void>,
    failed: (pipeline: string, error: unknown) => void,
  ): Promise<void> {
    for (const { definition } of this.pipelines.list()) {
      if (signal.aborted) return;
      if (this.pipelines.stored(definition.name)?.serving !== undefined) continue;
      const startMs = this.#parts.clock.nowMs();
      await this.#targets.build(definition.name).catch((error) => {
        if (!signal.aborted) failed(definition.name, error);
      });
      await rest(this.#parts.clock.nowMs() - startMs);
    }
  }
}
