/**
 * The rollouts: starts them, judges them, ends them. At most one of a name, and one of a pipeline, runs at a time.
 *
 * @module
 */

import type { Pipeline } from "@leat/proto";
import type { PipelineSpec } from "../bridge/pipeline-spec.ts";
import { LeatError, leatError } from "../errors.ts";
import { Shadow, type ShadowParts, ShadowReport } from "../outcome/shadow.ts";
import type { ServingPipeline } from "../pool/serving-pipeline.ts";
import { ArmStats } from "../telemetry/arm-stats.ts";
import type { RolloutFigures } from "../telemetry/stats.ts";
import type { ModuleCatalog, ModuleEntry } from "./module-catalog.ts";
import type { PipelineTable } from "./pipeline-table.ts";
import type { Preparation, PreparedPipeline } from "./preparation.ts";
import type { RegistryParts } from "./registry-parts.ts";
import { noRetry } from "./resilience-definition.ts";
import { judge, type Rollout, type RolloutMode, type RolloutRule, type RolloutState } from "./rollout.ts";
import type { Turnstile } from "./turnstile.ts";

/** Why a rollout has ended that a call has ended. */
export const askedFor = "it was asked for";

/** A rollout to start. */
export interface RolloutStart {
  readonly reference: string;
  readonly mode: RolloutMode;
  readonly share: number;
  readonly rule: RolloutRule | undefined;
}

/**
 * Makes a version active for good.
 *
 * @param beforeCommit - called when all is ready and nothing is written down yet; what it throws ends the change
 */
type Promote = (entry: ModuleEntry, beforeCommit: () => void) => Promise<unknown>;

/** Rollouts by module name. One that has ended is remembered until the next of its name, for as long as the name is loaded. */
export class Rollouts {
  readonly #parts: RegistryParts;
  readonly #modules: ModuleCatalog;
  readonly #pipelines: PipelineTable;
  readonly #preparation: Preparation;
  readonly #turnstile: Turnstile;
  readonly #promote: Promote;
  readonly #shadows: ShadowParts;
  readonly #rollouts = new Map<string, Rollout>();
  /** The one whose version is being written down as the active one: nothing but that ends it. */
  #committing: Rollout | undefined;

  constructor(
    parts: RegistryParts,
    modules: ModuleCatalog,
    pipelines: PipelineTable,
    preparation: Preparation,
    turnstile: Turnstile,
    promote: Promote,
  ) {
    this.#parts = parts;
    this.#modules = modules;
    this.#pipelines = pipelines;
    this.#preparation = preparation;
    this.#turnstile = turnstile;
    this.#promote = promote;
    this.#shadows = { ...parts, ...parts.shadows, held: { batches: 0, bytes: 0 } };
  }

  /** All that run or have ended, by name. */
  list(): Rollout[] {
    for (const [name, { state }] of this.#rollouts)
      if (state.t !== "running" && this.#modules.list(name).length === 0) this.#rollouts.delete(name);
    return [...this.#rollouts.keys()].sort().map((name) => this.#rollouts.get(name) as Rollout);
  }

  /** The figures of those that run. */
  figures(): RolloutFigures[] {
    return this.list()
      .filter(({ state }) => state.t === "running")
      .map(({ candidate: { name, version }, mode, share, candidateArm, shadow }) => ({
        module: name,
        version,
        mode,
        share,
        batches: candidateArm.batches,
        errors: candidateArm.errors,
        same: shadow.compared - shadow.different,
        different: shadow.different,
        dropped: shadow.dropped,
      }));
  }

  /** The last rollout of a name. @throws LeatError ROLLOUT_NOT_FOUND */
  get(name: string): Rollout {
    const rollout = this.#rollouts.get(name);
    if (rollout === undefined) throw leatError("ROLLOUT_NOT_FOUND", { module: name });
    return rollout;
  }

  /** @throws LeatError ROLLOUT_UNDER_WAY when a rollout of the name runs */
  checkNone(name: string): void {
    if (this.#running(name) === undefined) return;
    throw leatError("ROLLOUT_UNDER_WAY", { module: name, problem: "promote or abort it first" });
  }

  /** The name of the rollout that tries a version now. */
  triedIn(entry: ModuleEntry): string | undefined {
    return this.#running(entry.name)?.candidate === entry ? entry.name : undefined;
  }

  #running(name: string): Rollout | undefined {
    const rollout = this.#rollouts.get(name);
    return rollout?.state.t === "running" ? rollout : undefined;
  }

  /** Prepares a version beside the active one and lets it have its share. @throws LeatError as StartRollout documents */
  start(start: RolloutStart): Promise<Rollout> {
    return this.#turnstile.run(async () => {
      const candidate = this.#modules.resolveExactly(start.reference);
      const base = this.#modules.resolve(candidate.name);
      if (base === candidate)
        throw leatError("REQUEST_INVALID", { field: "reference", problem: "this version is active already" });
      this.checkNone(candidate.name);
      const taken = this.#preparation
        .followersOf(candidate.name)
        .map(({ definition }) => this.#ofPipeline(definition.name))
        .find((other) => other !== undefined);
      if (taken !== undefined) {
        const problem = "a pipeline takes part in it that follows this name, too";
        throw leatError("ROLLOUT_UNDER_WAY", { module: taken.base.name, problem });
      }
      const compiled = await this.#preparation.compile(candidate);
      await this.#preparation.module(candidate, compiled, "{}", false);
      const followers = await this.#preparation.followers(candidate);
      const rollout = this.#make(start, base, candidate);
      await this.#pairAll(rollout, followers);
      if (rollout.pairs.size === 0) {
        const problem = `no stored pipeline that runs names ${candidate.name} without a version`;
        throw leatError("REQUEST_INVALID", { field: "reference", problem });
      }
      this.#rollouts.set(candidate.name, rollout);
      this.#attach(rollout);
      return rollout;
    });
  }

  #make({ mode, share, rule }: RolloutStart, base: ModuleEntry, candidate: ModuleEntry): Rollout {
    return {
      base,
      candidate,
      mode,
      share,
      rule,
      startMs: this.#parts.clock.nowMs(),
      state: { t: "running" },
      baseArm: new ArmStats(),
      candidateArm: new ArmStats(),
      shadow: new ShadowReport(),
      pairs: new Map(),
    };
  }

  /** @throws LeatError when a pipeline cannot be built: those that were are let go of */
  async #pairAll(rollout: Rollout, followers: readonly PreparedPipeline[]): Promise<void> {
    try {
      for (const follower of followers) await this.#pair(rollout, follower);
    } catch (error) {
      for (const { candidate } of rollout.pairs.values()) candidate.retire();
      throw error;
    }
  }

  /** Puts the version that is tried beside the pipeline that serves, which is built where nothing has used it yet. */
  async #pair(rollout: Rollout, { definition, spec }: PreparedPipeline): Promise<void> {
    if (spec === undefined) return;
    const serving = this.#pipelines.get(definition.name).serving;
    const base = serving ?? this.#pipelines.serve(definition, await this.#preparation.pipeline(definition));
    rollout.pairs.set(definition.name, { base, candidate: this.#makeCandidate(rollout.mode, spec) });
  }

  #attach(rollout: Rollout): void {
    const { mode, share, pairs, baseArm, candidateArm, shadow } = rollout;
    for (const { base, candidate } of pairs.values()) {
      base.arm = baseArm;
      candidate.arm = candidateArm;
      if (mode === "shadow") base.shadow = new Shadow(this.#shadows, candidate, share, shadow);
      else base.canary = { pipeline: candidate, share, random: this.#parts.shadows.random };
    }
    let judging = false;
    const progress = (): void => {
      if (judging || rollout.state.t !== "running" || judge(rollout).t === "go-on") return;
      judging = true;
      void this.#turnstile
        .run(() => this.#conclude(rollout))
        .finally(() => {
          judging = false;
        });
    };
    baseArm.onProgress = progress;
    candidateArm.onProgress = progress;
  }

  async #conclude(rollout: Rollout): Promise<void> {
    if (rollout.state.t !== "running") return;
    const verdict = judge(rollout);
    if (verdict.t === "promote") await this.#promoteNow(rollout, verdict.why).catch(() => undefined);
    if (verdict.t === "roll-back") this.#end(rollout, "rolled_back", verdict.why);
  }

  /** Makes the version that is tried the active one. @throws LeatError ROLLOUT_NOT_FOUND, or as ActivateModule does */
  promote(name: string): Promise<Rollout> {
    return this.#turnstile.run(() => this.#promoteNow(this.#mustRun(name), askedFor));
  }

  async #promoteNow(rollout: Rollout, why: string): Promise<Rollout> {
    try {
      await this.#promote(rollout.candidate, () => {
        // Its breaker may have opened while pipelines were made ready.
        if (rollout.state.t !== "running")
          throw leatError("ROLLOUT_NOT_FOUND", { module: rollout.base.name });
        this.#committing = rollout;
      });
    } catch (error) {
      const { message } = LeatError.from(error);
      if (rollout.state.t === "running")
        this.#end(rollout, "aborted", `it could not be promoted: ${message}`);
      throw error;
    } finally {
      this.#committing = undefined;
    }
    this.#end(rollout, "promoted", why);
    // Pipelines that came later follow the name as well, and may take part in other rollouts.
    this.pipelinesChanged();
    return rollout;
  }

  /** Ends a rollout: the active version serves everything again. @throws LeatError ROLLOUT_NOT_FOUND */
  abort(name: string): Promise<Rollout> {
    return this.#turnstile.run(async () => {
      const rollout = this.#mustRun(name);
      this.#end(rollout, "rolled_back", askedFor);
      return rollout;
    });
  }

  #mustRun(name: string): Rollout {
    const rollout = this.#running(name);
    if (rollout === undefined) throw leatError("ROLLOUT_NOT_FOUND", { module: name });
    return rollout;
  }

  /** A module's breaker has opened: one that is tried is tried no longer. */
  breakerOpened(digest: string): void {
    this.#rollBack(digest, "its breaker opened");
  }

  /** A module was put in quarantine: one that is tried is tried no longer. */
  held(digest: string): void {
    this.#rollBack(digest, "it was put in quarantine");
  }

  #rollBack(digest: string, why: string): void {
    for (const rollout of this.#rollouts.values()) {
      if (rollout.state.t !== "running" || rollout === this.#committing) continue;
      if (rollout.candidate.digest === digest) this.#end(rollout, "rolled_back", why);
    }
  }

  /** A version must not run any more: if it is tried, it is tried no longer. */
  refused(entry: ModuleEntry): void {
    const rollout = this.#running(entry.name);
    if (rollout?.candidate === entry)
      this.#end(rollout, "rolled_back", "its signature does not count any more");
  }

  /** Ends rollouts of which a pipeline was changed or deleted: its two versions are not comparable any more. */
  pipelinesChanged(): void {
    for (const rollout of this.#rollouts.values()) {
      if (rollout.state.t !== "running") continue;
      for (const [name, { base }] of rollout.pairs) {
        if (this.#pipelines.stored(name)?.serving === base) continue;
        this.#end(rollout, "aborted", `the pipeline ${name} was changed`);
        break;
      }
    }
  }

  /** All pipelines were replaced by their like: puts both versions of each rollout in their place, and it goes on. */
  pipelinesReplaced(under: (spec: PipelineSpec, definition: Pipeline) => PipelineSpec): void {
    for (const rollout of this.#rollouts.values()) {
      if (rollout.state.t !== "running") continue;
      for (const [name, { candidate }] of rollout.pairs) {
        const { definition, serving: base } = this.#pipelines.get(name);
        if (base === undefined) continue;
        const next = this.#makeCandidate(rollout.mode, under(candidate.spec, definition));
        rollout.pairs.set(name, { base, candidate: next });
        candidate.retire();
      }
      this.#attach(rollout);
    }
  }

  #makeCandidate(mode: RolloutMode, spec: PipelineSpec): ServingPipeline {
    return mode === "canary"
      ? this.#pipelines.makeServing(spec)
      : this.#pipelines.makeServing(shadowSpec(spec), "shadow");
  }

  #ofPipeline(name: string): Rollout | undefined {
    return [...this.#rollouts.values()].find(({ state, pairs }) => state.t === "running" && pairs.has(name));
  }

  #end(rollout: Rollout, t: Exclude<RolloutState["t"], "running">, why: string): void {
    rollout.state = { t, why, timeMs: this.#parts.clock.nowMs() };
    for (const { base, candidate } of rollout.pairs.values()) {
      base.canary = undefined;
      base.shadow = undefined;
      base.arm = undefined;
      candidate.retire();
    }
    this.#parts.onRolloutEnded(rollout);
  }
}

/** A pipeline as a shadow runs it: nothing of it is tried again, kept, or held against a module. */
function shadowSpec(spec: PipelineSpec): PipelineSpec {
  return {
    ...spec,
    name: spec.name.replace(/^(shadow:)?/, "shadow:"),
    stages: spec.stages.map((stage) => ({
      ...stage,
      retry: noRetry,
      breaker: undefined,
      onFailure: stage.onFailure === "dead_letter" ? "fail" : stage.onFailure,
    })),
  };
}
