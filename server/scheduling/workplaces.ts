/**
 * Where pipelines run: together in the server's workers, or, where they ask for it, each in a process of its own.
 *
 * @module
 */

import type { PipelineSpec } from "../bridge/pipeline-spec.ts";
import { type LeatError, leatError } from "../errors.ts";
import type { Limits } from "../limits.ts";
import type { BatchJob } from "../pool/batch-job.ts";
import { Crossing } from "../pool/crossing.ts";
import type { Pool } from "../pool/pool.ts";
import type { WorkerHandle } from "../pool/worker-handle.ts";
import type { PoolStats } from "../telemetry/stats.ts";
import type { Scheduler } from "./scheduler.ts";

/** Workers, with the queue before them. */
export interface Workplace {
  readonly pool: Pool;
  readonly scheduler: Scheduler;
  /** The pool's figures. */
  readonly stats: PoolStats;
}

/** The process of one pipeline, whatever its revision. */
interface OwnPlace extends Workplace {
  readonly name: string;
  /** Ids of its pipelines that have batches, or may have. */
  readonly pipelines: Set<number>;
  /** Workers that were borrowed from it. */
  lent: number;
  timer: NodeJS.Timeout | undefined;
}

/** What workplaces are made with. */
export interface WorkplaceParts {
  readonly limits: Readonly<Limits>;
  /** Where pipelines run that ask for nothing. */
  readonly shared: Workplace;
  /** Makes a place in a process of its own; nothing runs yet. */
  readonly makeOwn: () => Workplace;
  /** Answers a crossing that cannot run. */
  readonly abandon: (crossing: Crossing, error: LeatError) => void;
  /** Told when a place does not start. */
  readonly onFailedStart: (pipeline: string, err: unknown) => void;
}

/** Finds the place of each pipeline, and makes and ends those that are a pipeline's own. */
export class Workplaces {
  readonly #parts: WorkplaceParts;
  readonly #own = new Map<string, OwnPlace>();
  /** Places that were made under other limits: each ends with the last batch that came before these changed. */
  readonly #leaving = new Set<OwnPlace>();
  /** Whose the workers are that were borrowed. */
  readonly #lenders = new Map<WorkerHandle, OwnPlace>();
  readonly #closing = new Set<Promise<void>>();
  #closed = false;

  constructor(parts: WorkplaceParts) {
    this.#parts = parts;
  }

  /** Takes a batch that was admitted. */
  submit(job: BatchJob): void {
    const { spec } = job.pipeline;
    if (spec.isolation === undefined) {
      this.#parts.shared.scheduler.submit(job);
      return;
    }
    try {
      const place = this.#leavingPlace(spec) ?? this.#placeOf(spec);
      place.pipelines.add(spec.id);
      place.scheduler.submit(job);
    } catch (error) {
      this.#parts.abandon(new Crossing([job]), error as LeatError);
    }
  }

  /** Takes a crossing back that has to run again. */
  again(crossing: Crossing): void {
    this.#workplace(crossing.pipeline.spec).scheduler.again(crossing);
  }

  /** Whether batches of other pipelines wait for the workers of a crossing. */
  othersWait(crossing: Crossing): boolean {
    return this.#workplace(crossing.pipeline.spec).scheduler.othersWait(crossing);
  }

  /** Nobody is confined any more. */
  closeLane(): void {
    this.#parts.shared.pool.closeLane();
  }

  /** A call for a pipeline comes, in a turn that may be long. */
  keepUp(spec: PipelineSpec, nowMs: number): void {
    this.#workplace(spec).scheduler.keepUp(nowMs);
  }

  /** Whether a pipeline's batch would have a worker for itself at once. */
  startsNow(spec: PipelineSpec): boolean {
    return this.#workplace(spec).scheduler.startsNow(spec);
  }

  /** Whether a pipeline's batch would run at once. */
  idle(spec: PipelineSpec): boolean {
    return this.#workplace(spec).scheduler.idle;
  }

  /**
   * Takes a ready worker for work that must not hold up the others, in the place of the pipeline.
   *
   * @throws LeatError DRAINING, ISOLATION_FULL
   */
  async borrow(spec: PipelineSpec): Promise<WorkerHandle> {
    if (spec.isolation === undefined) return this.#parts.shared.pool.borrow();
    const place = this.#placeOf(spec);
    place.lent++;
    try {
      const worker = await place.pool.borrow();
      this.#lenders.set(worker, place);
      return worker;
    } catch (error) {
      this.#returned(place);
      throw error;
    }
  }

  /** Puts a worker back that was borrowed. */
  giveBack(spec: PipelineSpec, worker: WorkerHandle): void {
    const place = this.#lenders.get(worker);
    this.#lenders.delete(worker);
    (place ?? this.#workplace(spec)).pool.giveBack(worker);
    if (place !== undefined) this.#returned(place);
  }

  /** Hands a crossing to a worker that was borrowed. */
  dispatchTo(worker: WorkerHandle, crossing: Crossing): void {
    const place = this.#lenders.get(worker) ?? this.#workplace(crossing.pipeline.spec);
    place.pool.dispatchTo(worker, crossing);
  }

  /** No batch uses the pipeline any more. */
  forget(spec: PipelineSpec): void {
    const { scheduler, pool } = this.#workplace(spec);
    scheduler.forget(spec.id);
    pool.drop(spec.id);
    const place = this.#leavingPlace(spec) ?? this.#own.get(spec.name);
    if (spec.isolation === undefined || place === undefined) return;
    place.pipelines.delete(spec.id);
    this.#restUnused(place);
  }

  /** Starts the workers that serve all. @throws LeatError INTERNAL when none starts */
  start(): Promise<void> {
    return this.#parts.shared.pool.start();
  }

  /** Whether a pipeline has a place of its own, which keeps the limits under which it was made. */
  get anyOwn(): boolean {
    return this.#own.size > 0;
  }

  /** The limits have changed: pipelines with a place of their own get another, and what is under way ends where it is. */
  limitsChanged(): void {
    this.#parts.shared.pool.limitsChanged();
    for (const place of [...this.#own.values()]) {
      this.#own.delete(place.name);
      this.#leaving.add(place);
      clearTimeout(place.timer);
      place.timer = undefined;
      this.#restUnused(place);
    }
  }

  /** Figures that change by themselves, brought up to date. */
  refreshStats(): void {
    const { pool, stats } = this.#parts.shared;
    pool.refreshStats();
    stats.processes = 0;
    for (const own of [...this.#own.values(), ...this.#leaving]) {
      own.pool.refreshStats();
      stats.instances += own.stats.instances;
      stats.instanceBytes += own.stats.instanceBytes;
      stats.processes += own.pool.size;
    }
  }

  /** Ends all workers. What still runs in them is lost: drain first. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const place of [...this.#own.values(), ...this.#leaving]) this.#end(place);
    await Promise.all([this.#parts.shared.pool.close(), ...this.#closing]);
  }

  #workplace(spec: PipelineSpec): Workplace {
    if (spec.isolation === undefined) return this.#parts.shared;
    return this.#leavingPlace(spec) ?? this.#own.get(spec.name) ?? this.#parts.shared;
  }

  #leavingPlace({ id }: PipelineSpec): OwnPlace | undefined {
    for (const place of this.#leaving) if (place.pipelines.has(id)) return place;
    return undefined;
  }

  #placeOf({ name }: PipelineSpec): OwnPlace {
    const known = this.#own.get(name);
    if (known !== undefined) {
      clearTimeout(known.timer);
      known.timer = undefined;
      return known;
    }
    if (this.#closed) throw leatError("DRAINING");
    this.#makeRoom();
    const place: OwnPlace = {
      ...this.#parts.makeOwn(),
      name,
      pipelines: new Set(),
      lent: 0,
      timer: undefined,
    };
    this.#own.set(name, place);
    place.pool.start().catch((error) => this.#parts.onFailedStart(name, error));
    return place;
  }

  /** The place that was made first and has nothing to do gives way. @throws LeatError ISOLATION_FULL */
  #makeRoom(): void {
    const { maxIsolatedPipelines } = this.#parts.limits;
    if (this.#own.size < maxIsolatedPipelines) return;
    const idle = [...this.#own.values()].find(
      ({ lent, scheduler, pool }) => lent === 0 && scheduler.empty && pool.idle,
    );
    if (idle === undefined)
      throw leatError("ISOLATION_FULL", {
        limit: "maxIsolatedPipelines",
        value: maxIsolatedPipelines,
        measured: this.#own.size + 1,
      });
    this.#end(idle);
  }

  #returned(place: OwnPlace): void {
    place.lent--;
    this.#restUnused(place);
  }

  /** A place that no pipeline uses ends after a while: what was warmed up there often serves next. */
  #restUnused(place: OwnPlace): void {
    if (place.lent > 0 || place.pipelines.size > 0 || place.timer !== undefined) return;
    if (this.#leaving.has(place)) {
      this.#end(place);
      return;
    }
    place.timer = setTimeout(() => this.#end(place), this.#parts.limits.isolatedIdleMs);
    place.timer.unref();
  }

  #end(place: OwnPlace): void {
    clearTimeout(place.timer);
    if (!this.#leaving.delete(place)) this.#own.delete(place.name);
    const closing = place.pool.close().finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
  }
}
