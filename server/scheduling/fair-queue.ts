/**
 * Waiting batches, served in turns: one crossing of each pipeline, round and round, so that
 * a flood on one does not starve the others.
 *
 * @module
 */

import type { PipelineSpec } from "../bridge/pipeline-spec.ts";
import type { BatchJob } from "../pool/batch-job.ts";
import { Crossing } from "../pool/crossing.ts";
import type { ServingPipeline } from "../pool/serving-pipeline.ts";

/** The bounds on merging small calls. */
export interface MergeBounds {
  readonly maxCoalescedCalls: number;
  readonly maxCoalescedBytes: number;
  readonly maxCoalescedMs: number;
}

/** Whether a pipeline's crossings must stay in the queue. */
export type Blocks = (pipeline: PipelineSpec) => boolean;

/** A line of jobs, first in, first out, without shifting an array. */
class Line {
  #jobs: (BatchJob | undefined)[] = [];
  #head = 0;
  /** How many of those that wait were withdrawn. */
  #withdrawn = 0;

  get first(): BatchJob | undefined {
    return this.#jobs[this.#head];
  }

  push(job: BatchJob): void {
    this.#jobs.push(job);
  }

  shift(): BatchJob | undefined {
    const job = this.#jobs[this.#head];
    if (job === undefined) return undefined;
    this.#leave(job);
    this.#dropFirst();
    return job;
  }

  /** A job was cancelled. Those that were leave together once they are the most: so each costs no more than a place or two. */
  withdraw(): void {
    this.#withdrawn++;
    this.#dropFirst();
    if (this.#withdrawn * 2 <= this.#jobs.length - this.#head) return;
    this.#jobs = this.#jobs.slice(this.#head).filter((job) => job?.cancelled === false);
    this.#head = 0;
    this.#withdrawn = 0;
  }

  /** No line begins with a job that was cancelled: so one of nothing else is empty. */
  #dropFirst(): void {
    for (let { first } = this; first?.cancelled === true; first = this.first) this.#leave(first);
  }

  #leave(first: BatchJob): void {
    this.#jobs[this.#head++] = undefined;
    if (first.cancelled) this.#withdrawn--;
    if (this.#head === this.#jobs.length) {
      this.#jobs.length = 0;
      this.#head = 0;
    } else if (this.#head > 1024 && this.#head * 2 > this.#jobs.length) {
      this.#jobs = this.#jobs.slice(this.#head);
      this.#head = 0;
    }
  }
}

/** The queue. Its length is bounded by admission: what is here was admitted. */
export class FairQueue {
  readonly #bounds: MergeBounds;
  readonly #lines = new Map<number, Line>();
  /** Lines that have jobs, in the order of their turns. */
  readonly #turns: Line[] = [];
  readonly #again: Crossing[] = [];

  constructor(bounds: MergeBounds) {
    this.#bounds = bounds;
  }

  /** Whether nothing waits. */
  get empty(): boolean {
    return this.#again.length === 0 && this.#turns.length === 0;
  }

  /** Adds a job behind the others of its pipeline. */
  push(job: BatchJob): void {
    const { id } = job.pipeline.spec;
    let line = this.#lines.get(id);
    if (line === undefined) {
      line = new Line();
      this.#lines.set(id, line);
    }
    if (line.first === undefined) this.#turns.push(line);
    line.push(job);
  }

  /** A job that waits was cancelled. */
  withdraw(job: BatchJob): void {
    const line = this.#lines.get(job.pipeline.spec.id);
    line?.withdraw();
    if (line === undefined || line.first !== undefined) return;
    const turn = this.#turns.indexOf(line);
    if (turn >= 0) this.#turns.splice(turn, 1);
  }

  /** Forgets a pipeline that no job will be of any more. */
  forget(pipeline: number): void {
    if (this.#lines.get(pipeline)?.first === undefined) this.#lines.delete(pipeline);
  }

  /** Puts a crossing first that has to run again. */
  again(crossing: Crossing): void {
    this.#again.push(crossing);
  }

  /** Whether something of another pipeline waits that need not wait for anything but a worker. */
  waitsBeside(pipeline: number, blocks: Blocks): boolean {
    const counts = ({ spec }: ServingPipeline): boolean => spec.id !== pipeline && !blocks(spec);
    for (const crossing of this.#again) if (counts(crossing.pipeline)) return true;
    for (const { first } of this.#turns) if (first !== undefined && counts(first.pipeline)) return true;
    return false;
  }

  /**
   * Takes what is next: a crossing to run again, else one of the pipeline whose turn it is.
   *
   * @param blocks - says which pipelines' crossings must stay
   */
  take(blocks?: Blocks): Crossing | undefined {
    const again = this.#takeAgain(blocks);
    if (again !== undefined) return again;
    for (let line = this.#takeTurn(blocks); line !== undefined; line = this.#takeTurn(blocks)) {
      const jobs = this.#merge(line);
      // The last in turn again.
      if (line.first !== undefined) this.#turns.push(line);
      if (jobs.length > 0) return new Crossing(jobs);
    }
    return undefined;
  }

  /** The line whose turn it is; those that are blocked keep their places. */
  #takeTurn(blocks: Blocks | undefined): Line | undefined {
    if (blocks === undefined) return this.#turns.shift();
    for (let index = 0; index < this.#turns.length; ) {
      const line = this.#turns[index] as Line;
      // Who gave up meanwhile must not take room for as long as the line is blocked.
      while (line.first?.settled === true) line.shift();
      if (line.first === undefined) this.#turns.splice(index, 1);
      else if (blocks(line.first.pipeline.spec)) index++;
      else return this.#turns.splice(index, 1)[0];
    }
    return undefined;
  }

  #takeAgain(blocks: Blocks | undefined): Crossing | undefined {
    if (blocks === undefined || this.#again.length === 0) return this.#again.pop();
    const index = this.#again.findLastIndex(({ pipeline }) => !blocks(pipeline.spec));
    return index < 0 ? undefined : this.#again.splice(index, 1)[0];
  }

  /** One job, or as many small ones as may share a crossing. Cancelled ones were answered and are left out. */
  #merge(line: Line): BatchJob[] {
    const jobs: BatchJob[] = [];
    let bytes = 0;
    const { maxCoalescedCalls, maxCoalescedBytes, maxCoalescedMs } = this.#bounds;
    const inTime = line.first?.pipeline.pace.callsWithin(maxCoalescedMs) ?? 0;
    const mostCalls = Math.min(maxCoalescedCalls, inTime);
    for (let job = line.first; job !== undefined; job = line.first) {
      const fits =
        jobs.length === 0 ||
        (job.mergeable && jobs.length < mostCalls && bytes + job.byteLength <= maxCoalescedBytes);
      if (!fits) break;
      line.shift();
      if (job.settled) continue;
      jobs.push(job);
      bytes += job.byteLength;
      if (!job.mergeable) break;
    }
    return jobs;
  }
}
