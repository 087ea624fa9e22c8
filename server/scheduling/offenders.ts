/**
 * Finds modules that hold others up, and for how long they are confined to a lane of their own.
 *
 * An offence is a batch that brought its worker down; or one that faulted while other pipelines waited; or one that ran long while
 * others waited, and took far more processor time than other modules' batches do. What nobody else suffers from is none: a heavy module alone
 * on a machine may use all of it. A module version with `laneOffences` of them among its last `laneWindow` batches is confined, for `laneMs`,
 * for twice as long each time that it comes back soon, and for as long again after each further offence.
 *
 * @module
 */

import type { PipelineSpec, StageSpec } from "../bridge/pipeline-spec.ts";
import type { Clock } from "../clock.ts";
import type { Limits } from "../limits.ts";
import type { Crossing } from "../pool/crossing.ts";

/** When a module is confined, and for how long. */
export type LaneLimits = Pick<
  Limits,
  "laneOffences" | "laneWindow" | "laneMs" | "maxLaneMs" | "laneCpuFactor" | "maxStallMs"
>;

/** A module version that is confined now. */
export interface Confined {
  readonly module: string;
  readonly version: string;
  readonly digest: string;
  readonly sinceMs: number;
  /** When it is let go, if it behaves until then. */
  readonly untilMs: number;
  readonly why: string;
}

/** Told when a module is confined, and when it is let go. */
export type OnConfinement = (change: "confined" | "released", module: Confined) => void;

/** Module versions that are watched; the one whose last batch is the longest ago gives way. */
const maxWatched = 1_000;
/**
 * Batches over which the mean time is taken; then what was before counts half. Many, since systems bring a thread's processor time up to
 * date at ticks of some milliseconds: most batches seem to take none, and a few a whole tick.
 */
const meanOver = 4_096;

/** What is known of one module version. */
interface Conduct {
  readonly module: string;
  readonly version: string;
  readonly digest: string;
  /** The last batches, 1 for an offence, as a ring. */
  readonly batches: Uint8Array;
  next: number;
  offences: number;
  /** Processor time of so many batches, in milliseconds. */
  cpuMs: number;
  runs: number;
  /** Counts batches of all modules, to find the one that was unused for longest. */
  lastUse: number;
  /** Confinements, the next of which lasts twice as long. */
  strikes: number;
  /** When it was let go last. */
  releasedMs: number;
  confined: Confined | undefined;
}

/** Watches all module versions that run. Owns no timer: who is to be let go is found when somebody asks. */
export class Offenders {
  readonly #limits: LaneLimits;
  readonly #clock: Clock;
  readonly #othersWait: (crossing: Crossing) => boolean;
  readonly #onChange: OnConfinement;
  readonly #known = new Map<string, Conduct>();
  /** Crossings that count already: however many of its records do harm, a batch is one. */
  readonly #counted = new WeakSet<Crossing>();
  #confined = 0;
  #uses = 0;

  /** @param othersWait - whether batches of other pipelines wait for a worker */
  constructor(
    limits: LaneLimits,
    clock: Clock,
    othersWait: (crossing: Crossing) => boolean,
    onChange: OnConfinement,
  ) {
    this.#limits = limits;
    this.#clock = clock;
    this.#othersWait = othersWait;
    this.#onChange = onChange;
  }

  /** Whether nothing is confined. */
  get empty(): boolean {
    return this.#confined === 0;
  }

  /** Whether a module of a pipeline is confined. */
  confines({ stages }: PipelineSpec): boolean {
    if (this.#confined === 0) return false;
    for (const { digest } of stages) {
      const conduct = this.#known.get(digest);
      if (conduct?.confined !== undefined && this.#isConfined(conduct)) return true;
    }
    return false;
  }

  /** What is confined now. */
  list(): Confined[] {
    const confined: Confined[] = [];
    for (const conduct of this.#known.values()) {
      if (conduct.confined !== undefined && this.#isConfined(conduct)) confined.push(conduct.confined);
    }
    return confined;
  }

  /** Forgets a module that was unloaded, or that an operator vouches for. */
  forget(digest: string): void {
    const conduct = this.#known.get(digest);
    if (conduct?.confined !== undefined) this.#release(conduct);
    this.#known.delete(digest);
  }

  /** A stage has run a batch to its end. */
  ran(crossing: Crossing, stage: number, cpuMs: number, faults: number): void {
    const conduct = this.#conductOf(crossing, stage);
    if (conduct === undefined) return;
    conduct.cpuMs += cpuMs;
    if (++conduct.runs >= meanOver) {
      conduct.cpuMs /= 2;
      conduct.runs /= 2;
    }
    if (crossing.attempts > 1 && this.#counted.has(crossing)) return;
    const why = this.#offence(crossing, conduct, cpuMs, faults);
    this.#note(conduct, why);
  }

  /** A stage has brought its worker down. */
  stopped(crossing: Crossing, stage: number): void {
    if (crossing.purpose === "warm-up" || this.#counted.has(crossing)) return;
    const conduct = this.#conductOf(crossing, stage);
    if (conduct === undefined) return;
    this.#counted.add(crossing);
    this.#note(conduct, "its batches bring workers down");
  }

  #offence(crossing: Crossing, conduct: Conduct, cpuMs: number, faults: number): string | undefined {
    const long = cpuMs > this.#limits.maxStallMs;
    if (faults === 0 && !long) return undefined;
    if (!crossing.heldOthers && !this.#othersWait(crossing)) return undefined;
    if (faults > 0) return "its batches fault while others wait";
    const peersMs = this.#peersCpuMs(conduct);
    if (peersMs === undefined || cpuMs <= peersMs * this.#limits.laneCpuFactor) return undefined;
    return `its batches take ${Math.round(cpuMs)} ms of a processor while others wait, and those of others ${peersMs.toPrecision(2)} ms`;
  }

  /** The mean time of the batches of other modules that are not confined; undefined where there is none. */
  #peersCpuMs(conduct: Conduct): number | undefined {
    let sumMs = 0;
    let peers = 0;
    for (const other of this.#known.values()) {
      if (other === conduct || other.confined !== undefined || other.runs === 0) continue;
      sumMs += other.cpuMs / other.runs;
      peers++;
    }
    return peers === 0 ? undefined : sumMs / peers;
  }

  #note(conduct: Conduct, why: string | undefined): void {
    const { batches } = conduct;
    const offence = why === undefined ? 0 : 1;
    conduct.offences += offence - (batches[conduct.next] as number);
    batches[conduct.next] = offence;
    conduct.next = (conduct.next + 1) % batches.length;
    if (why === undefined || this.#limits.laneOffences === 0) return;
    if (conduct.confined !== undefined && this.#isConfined(conduct)) {
      // The term begins anew with each offence.
      conduct.confined = { ...conduct.confined, untilMs: this.#clock.nowMs() + this.#termMs(conduct), why };
    } else if (conduct.offences >= this.#limits.laneOffences) this.#confine(conduct, why);
  }

  #confine(conduct: Conduct, why: string): void {
    const nowMs = this.#clock.nowMs();
    const recently = nowMs - conduct.releasedMs <= this.#limits.maxLaneMs;
    conduct.strikes = recently ? conduct.strikes + 1 : 1;
    const { module, version, digest } = conduct;
    conduct.confined = {
      module,
      version,
      digest,
      sinceMs: nowMs,
      untilMs: nowMs + this.#termMs(conduct),
      why,
    };
    this.#confined++;
    this.#onChange("confined", conduct.confined);
  }

  #termMs({ strikes }: Conduct): number {
    return Math.min(this.#limits.laneMs * 2 ** (strikes - 1), this.#limits.maxLaneMs);
  }

  /** Lets go who has behaved for long enough. */
  #isConfined(conduct: Conduct): boolean {
    if (conduct.confined === undefined) return false;
    if (conduct.confined.untilMs > this.#clock.nowMs()) return true;
    this.#release(conduct);
    return false;
  }

  #release(conduct: Conduct): void {
    const { confined } = conduct;
    if (confined === undefined) return;
    conduct.confined = undefined;
    conduct.releasedMs = this.#clock.nowMs();
    conduct.batches.fill(0);
    conduct.offences = 0;
    this.#confined--;
    this.#onChange("released", confined);
  }

  #conductOf({ pipeline }: Crossing, stage: number): Conduct | undefined {
    const spec = pipeline.spec.stages[stage];
    if (spec === undefined) return undefined;
    const conduct = this.#known.get(spec.digest) ?? this.#meet(spec);
    conduct.lastUse = ++this.#uses;
    return conduct;
  }

  #meet({ module, version, digest }: StageSpec): Conduct {
    if (this.#known.size >= maxWatched) this.#forgetOldest();
    const conduct: Conduct = {
      module,
      version,
      digest,
      batches: new Uint8Array(Math.max(1, this.#limits.laneWindow)),
      next: 0,
      offences: 0,
      cpuMs: 0,
      runs: 0,
      lastUse: 0,
      strikes: 0,
      releasedMs: Number.NEGATIVE_INFINITY,
      confined: undefined,
    };
    this.#known.set(digest, conduct);
    return conduct;
  }

  #forgetOldest(): void {
    let oldest: Conduct | undefined;
    for (const conduct of this.#known.values()) {
      if (conduct.confined === undefined && (oldest === undefined || conduct.lastUse < oldest.lastUse))
        oldest = conduct;
    }
    // All are confined: the first that was.
    oldest ??= this.#known.values().next().value;
    if (oldest !== undefined) this.forget(oldest.digest);
  }
}
