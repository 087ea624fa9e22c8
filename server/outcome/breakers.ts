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
import type { BreakerFigures } from "../telemetry/stage-stats.ts";
import { Breaker, type BreakerState, strictest } from "./breaker.ts";

/** Told of a breaker's transition: to log it, and to put it into traces. */
export type OnBreakerChange = (
  module: string,
  digest: string,
  from: BreakerState["t"],
  to: BreakerState["t"],
) => void;

const noTransitions: BreakerFigures["transitions"] = { closed: 0, open: 0, half_open: 0 };

/** One breaker a module version. Only what serves is asked for permission, and told of. */
export class Breakers {
  readonly #clock: Clock;
  readonly #onChange: OnBreakerChange;
  readonly #onProbe: () => void;
  readonly #breakers = new Map<string, Breaker>();
  /** By digest, how often a module version's breaker came to each state. Outlives the breaker, until the module is unloaded. */
  readonly #transitions = new Map<string, Record<BreakerState["t"], number>>();
  /** By digest, the policy of each pipeline in use that runs the module version. */
  readonly #policies = new Map<string, Map<PipelineSpec, BreakerSpec>>();

  /** @param onProbe - told when a half-open breaker has let a probe through, or lets another one through from now on */
  constructor(clock: Clock, onChange: OnBreakerChange, onProbe: () => void) {
    this.#clock = clock;
    this.#onChange = onChange;
    this.#onProbe = onProbe;
  }

  /** How many policies of pipelines in use are held. */
  get policyCount(): number {
    let count = 0;
    for (const policies of this.#policies.values()) count += policies.size;
    return count;
  }

  /** The state of a module version's breaker, and how often it came to each. */
  figuresOf(digest: string): BreakerFigures {
    const state = this.#breakers.get(digest)?.state.t ?? "closed";
    return { state, transitions: this.#transitions.get(digest) ?? noTransitions };
  }

  /** Takes on the policies of a pipeline that batches may use from now on. */
  pipelineMade(spec: PipelineSpec): void {
    for (const stage of spec.stages) {
      const { digest, breaker } = stage;
      if (breaker === undefined) continue;
      const policies = this.#policies.get(digest) ?? new Map<PipelineSpec, BreakerSpec>();
      this.#policies.set(digest, policies);
      const other = policies.get(spec);
      policies.set(spec, other === undefined ? breaker : strictest([other, breaker]));
      this.#settle(stage);
    }
  }

  /** Gives the policies of a pipeline back that no batch uses any more. A breaker that no other asks for ends. */
  pipelineUnused(spec: PipelineSpec): void {
    for (const stage of spec.stages) if (this.#policies.get(stage.digest)?.delete(spec)) this.#settle(stage);
  }

  /**
   * Until when a breaker refuses calls; undefined for one that would let a call run, as a probe or otherwise. While a
   * probe is out nobody knows until when, and it is a guess.
   */
  refusedUntilMs(digest: string): number | undefined {
    const nowMs = this.#clock.nowMs();
    const refusedMs = this.#breakers.get(digest)?.refusedForMs(nowMs);
    return refusedMs === undefined ? undefined : nowMs + refusedMs;
  }

  /** Forgets the breaker of a module that was unloaded. */
  forget(digest: string): void {
    this.#breakers.delete(digest);
    this.#policies.delete(digest);
    this.#transitions.delete(digest);
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

  /** Puts the policies of a stage's module version in force. */
  #settle({ digest, module, version }: PipelineSpec["stages"][number]): void {
    const [first, ...others] = this.#policies.get(digest)?.values() ?? [];
    const present = this.#breakers.get(digest);
    if (first === undefined) {
      this.#policies.delete(digest);
      this.#breakers.delete(digest);
      present?.end();
      return;
    }
    const policy = strictest([first, ...others]);
    if (present !== undefined) {
      present.adopt(policy);
      return;
    }
    const changed = (from: BreakerState["t"], to: BreakerState["t"]): void => {
      this.#count(digest, to);
      this.#onChange(`${module}@${version}`, digest, from, to);
    };
    this.#breakers.set(digest, new Breaker(policy, changed));
  }

  #count(digest: string, to: BreakerState["t"]): void {
    const transitions = this.#transitions.get(digest) ?? { ...noTransitions };
    this.#transitions.set(digest, transitions);
    transitions[to]++;
  }
}

/** What a breaker knows a crossing by that tries it; undefined where it does not. */
function probeOf({ probes }: Crossing, digest: string): symbol | undefined {
  for (const probe of probes) if (probe.digest === digest) return probe.probe;
  return undefined;
}
