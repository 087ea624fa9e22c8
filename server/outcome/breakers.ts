/**
 * The breakers of all module versions: asked before a crossing goes to a worker, told when it comes back.
 *
 * @module
 */

import { ExclusionCode, Slot, StageWord, wasSkipped, wholeStage } from "../bridge/layout.ts";
import type { BreakerSpec, PipelineSpec } from "../bridge/pipeline-spec.ts";
import type { Clock } from "../clock.ts";
import { type LeatError, leatError } from "../errors.ts";
import type { Crossing } from "../pool/crossing.ts";
import type { WorkerHandle } from "../pool/worker-handle.ts";
import type { Stats } from "../telemetry/stats.ts";
import { Breaker, type BreakerState, strictest } from "./breaker.ts";

/** Told of a breaker's transition: to log it, and to put it into traces. */
export type OnBreakerChange = (
  module: string,
  digest: string,
  from: BreakerState["t"],
  to: BreakerState["t"],
) => void;

/** One breaker a module version. Only what serves is asked for permission, and told of. */
export class Breakers {
  readonly #clock: Clock;
  readonly #stats: Stats;
  readonly #onChange: OnBreakerChange;
  readonly #onProbe: () => void;
  readonly #breakers = new Map<string, Breaker>();
  /** By module, the policy of each stage of each pipeline that runs or ran it. */
  readonly #policies = new Map<string, Map<string, BreakerSpec>>();
  /** Pipelines whose stages have theirs: policies are taken on once. */
  readonly #known = new WeakSet<PipelineSpec>();

  /** @param onProbe - told when a half-open breaker has let a probe through, or lets another one through from now on */
  constructor(clock: Clock, stats: Stats, onChange: OnBreakerChange, onProbe: () => void) {
    this.#clock = clock;
    this.#stats = stats;
    this.#onChange = onChange;
    this.#onProbe = onProbe;
  }

  /** The state of a module version's breaker. */
  stateOf(digest: string): BreakerState["t"] {
    return this.#breakers.get(digest)?.state.t ?? "closed";
  }

  /**
   * Until when a breaker refuses calls; undefined for one that would let a call run, as a probe or otherwise. While a
   * probe is out nobody knows until when, and it is a guess.
   *
   * @param spec - the pipeline for which that is asked: its policies are taken on first
   */
  refusedUntilMs(digest: string, spec: PipelineSpec | undefined): number | undefined {
    if (spec !== undefined && !this.#known.has(spec)) this.#meet(spec);
    const nowMs = this.#clock.nowMs();
    const refusedMs = this.#breakers.get(digest)?.refusedForMs(nowMs);
    return refusedMs === undefined ? undefined : nowMs + refusedMs;
  }

  /** Forgets the breaker of a module that was unloaded. */
  forget(digest: string): void {
    this.#breakers.delete(digest);
    this.#policies.delete(digest);
  }

  /**
   * May the crossing run? Where a stage's breaker is open, the stage's policy decides: `fail` refuses the crossing; the
   * others let it run without that stage, whose records fail with `breaker_open` and go the policy's way.
   *
   * @returns the error to answer it with, or undefined
   */
  admit(crossing: Crossing): LeatError | undefined {
    if (crossing.purpose !== "serve") return undefined;
    const { spec } = crossing.pipeline;
    if (!this.#known.has(spec)) this.#meet(spec);
    this.#withdraw(crossing);
    for (let stage = 0; stage < spec.stages.length; stage++) {
      const { digest, onFailure, module, version, when } = spec.stages[
        stage
      ] as PipelineSpec["stages"][number];
      const breaker = this.#breakers.get(digest);
      if (breaker === undefined || breaker.state.t === "closed") continue;
      // A module that stands twice in a pipeline is tried once.
      if (probeOf(crossing, digest) !== undefined) continue;
      const permission = breaker.ask(this.#clock.nowMs());
      if (permission.t === "probe") {
        crossing.probes = [...crossing.probes, { digest, probe: permission.probe }];
        this.#onProbe();
      } else if (permission.t === "refused") {
        // A stage with a condition may have no record to run, so only those that it has fail.
        if (onFailure === "fail" && when === undefined) {
          this.abandon(crossing);
          const { retryAfterMs } = permission;
          return leatError("BREAKER_OPEN", { module: `${module}@${version}` }, { retryAfterMs });
        }
        const exclusion = { stage, record: wholeStage, code: ExclusionCode.breakerOpen };
        crossing.exclusions = [...crossing.exclusions, exclusion];
      }
    }
    return undefined;
  }

  /** The crossing's slot was completed: each stage that ran tells its breaker how it went. */
  completed(worker: WorkerHandle, crossing: Crossing, slot: number): void {
    const { words } = worker.memory;
    const begun = words[worker.memory.slot(slot) + Slot.stagesBegun] as number;
    const { stages } = crossing.pipeline.spec;
    for (let stage = 0; stage < begun; stage++) {
      const breaker = this.#breakers.get(stages[stage]?.digest ?? "");
      if (breaker === undefined || this.#excluded(crossing, stage)) continue;
      const entry = worker.memory.stage(slot, stage);
      if (wasSkipped(words, entry)) continue;
      const failed = breaker.countsRecordFailures && (words[entry + StageWord.recordsFailed] as number) > 0;
      this.#tell(crossing, stage, breaker, failed || (words[entry + StageWord.faults] as number) > 0);
    }
    this.abandon(crossing);
  }

  /** A stage has brought its worker down. */
  fault(crossing: Crossing, stage: number): void {
    if (crossing.purpose !== "serve") return;
    const breaker = this.#breakers.get(crossing.pipeline.spec.stages[stage]?.digest ?? "");
    if (breaker !== undefined) this.#tell(crossing, stage, breaker, true);
  }

  /** The crossing will not tell anything more: probes that it was are over. */
  abandon(crossing: Crossing): void {
    if (crossing.probes.length === 0) return;
    for (const { digest, probe } of crossing.probes) this.#breakers.get(digest)?.abandonProbe(probe);
    crossing.probes = [];
    this.#onProbe();
  }

  #tell(crossing: Crossing, stage: number, breaker: Breaker, fault: boolean): void {
    const digest = crossing.pipeline.spec.stages[stage]?.digest ?? "";
    const probe = probeOf(crossing, digest);
    breaker.record(fault, probe, crossing.startedMs, this.#clock.nowMs());
    if (probe === undefined) return;
    crossing.probes = crossing.probes.filter((other) => other.probe !== probe);
    this.#onProbe();
  }

  /** What an open breaker excluded before holds for that run only. */
  #withdraw(crossing: Crossing): void {
    if (crossing.exclusions.some(({ code }) => code === ExclusionCode.breakerOpen)) {
      crossing.exclusions = crossing.exclusions.filter(({ code }) => code !== ExclusionCode.breakerOpen);
    }
  }

  #excluded(crossing: Crossing, stage: number): boolean {
    return (
      crossing.exclusions.length > 0 &&
      crossing.exclusions.some((other) => other.stage === stage && other.code === ExclusionCode.breakerOpen)
    );
  }

  /** Takes on the policies of a pipeline's stages, in place of those of its former revision. */
  #meet(spec: PipelineSpec): void {
    this.#known.add(spec);
    for (const { name, digest, breaker, module, version } of spec.stages) {
      const policies = this.#policies.get(digest) ?? new Map<string, BreakerSpec>();
      this.#policies.set(digest, policies);
      // Clients invent inline chains: all of them count as one place, which bounds the table.
      const place = spec.name.startsWith("inline:") ? "inline" : `${spec.name}/${name}`;
      if (breaker === undefined) policies.delete(place);
      else policies.set(place, breaker);
      const [first, ...others] = policies.values();
      if (first === undefined) this.#breakers.delete(digest);
      else this.#adopt(digest, `${module}@${version}`, strictest([first, ...others]));
    }
  }

  #adopt(digest: string, module: string, policy: BreakerSpec): void {
    const present = this.#breakers.get(digest);
    if (present !== undefined) {
      present.adopt(policy);
      return;
    }
    const changed = (from: BreakerState["t"], to: BreakerState["t"]): void => {
      this.#count(digest, to);
      this.#onChange(module, digest, from, to);
    };
    this.#breakers.set(digest, new Breaker(policy, changed));
  }

  #count(digest: string, to: BreakerState["t"]): void {
    for (const pipeline of this.#stats.pipelines()) {
      for (const stage of pipeline.stages) {
        if (stage.digest !== digest) continue;
        stage.breaker = to;
        if (to === "open") stage.breakerOpened++;
      }
    }
  }
}

/** What a breaker knows a crossing by that tries it; undefined where it does not. */
function probeOf({ probes }: Crossing, digest: string): symbol | undefined {
  for (const probe of probes) if (probe.digest === digest) return probe.probe;
  return undefined;
}
