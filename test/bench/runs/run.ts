/**
 * A run is one thing that is measured: a server under one kind of load, or a module called in a loop. The
 * bench takes the runs of a group in turn, round by round.
 *
 * @module
 */

import type { Child } from "../child.ts";
import type { LoadHandlers } from "../load/load.ts";

/** What one run did in one round. */
export interface Sample {
  /** Batches, calls or whatever the run counts. */
  units: number;
  seconds: number;
  /** CPU of the measured process with all its threads, in microseconds. */
  cpuUs: number;
  /** CPU of the process that made the load, in microseconds. 0 when the measured process makes its own. */
  clientCpuUs: number;
  /** Garbage collections of the measured process's main thread. */
  collections: number;
  /** Bytes allocated for each unit; only from runs that look at allocation. */
  allocatedPerUnit?: AllocatedBytes;
}

/** Bytes allocated for each unit. */
export interface AllocatedBytes {
  mainHeap: number;
  workerHeap: number;
  external: number;
}

/** How long to measure. */
export interface Window {
  warmupSeconds: number;
  seconds: number;
}

/** A run that is ready to be measured, as often as wanted. */
export interface OpenRun extends AsyncDisposable {
  measure(window: Window): Promise<Sample>;
}

/** What all runs share. */
export interface Bench {
  /** The process that makes load. */
  load: Child<LoadHandlers>;
}

/** Something that can be measured. */
export interface Run {
  /** Stable, for the JSON report: `stream:leat`. */
  name: string;
  /** What one unit is: `batch`, `call` or `record`. */
  unit: string;
  /**
   * Starts what it needs.
   *
   * @throws Unavailable when a part of it is not there
   */
  open(bench: Bench): Promise<OpenRun>;
}

/** Microseconds of CPU a unit. */
export function cpuPerUnit(sample: Sample): number {
  return sample.cpuUs / sample.units;
}

/** Units a second. */
export function rate(sample: Sample): number {
  return sample.units / sample.seconds;
}

/** Waits. */
export function pause(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1e3));
}
