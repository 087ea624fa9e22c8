/**
 * What a process and its threads have used.
 *
 * @module
 */

import { PerformanceObserver } from "node:perf_hooks";
import v8 from "node:v8";
import type { Worker } from "node:worker_threads";

/** What a process has used since it started. */
export interface Usage {
  /** CPU of all its threads, user and kernel, in microseconds. */
  cpuUs: number;
  /** Garbage collections of the main thread. */
  collections: number;
  /** Their time in milliseconds. */
  collectionMs: number;
}

/** What a process's threads have allocated. */
export interface Allocation {
  /** Bytes of JavaScript objects that the main thread has allocated since it started. */
  mainHeapBytes: number;
  /** Bytes of JavaScript objects that the workers have allocated since they started. */
  workerHeapBytes: number;
  /** Bytes outside the heap that JavaScript objects hold now, over all threads. */
  externalBytes: number;
}

/** CPU of all threads of this process, user and kernel, in microseconds. */
export function processCpuUs(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/** Keeps the set of this process's workers, however they were started. */
export function trackWorkers(): Set<Worker> {
  const workers = new Set<Worker>();
  process.on("worker", (worker: Worker) => {
    workers.add(worker);
    worker.once("exit", () => workers.delete(worker));
  });
  return workers;
}

/** Counts the main thread's garbage collections from now on, in the object it returns. */
export function countCollections(): Pick<Usage, "collections" | "collectionMs"> {
  const counted = { collections: 0, collectionMs: 0 };
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      counted.collections++;
      counted.collectionMs += entry.duration;
    }
  }).observe({ entryTypes: ["gc"] });
  return counted;
}

/** Reads what the main thread and these workers have allocated. */
export async function readAllocation(workers: Set<Worker>): Promise<Allocation> {
  const heaps = await Promise.all([...workers].map((worker) => worker.getHeapStatistics()));
  const main = v8.getHeapStatistics();
  const total = {
    mainHeapBytes: main.total_allocated_bytes,
    workerHeapBytes: 0,
    externalBytes: main.external_memory,
  };
  for (const heap of heaps) {
    total.workerHeapBytes += heap.total_allocated_bytes;
    total.externalBytes += heap.external_memory;
  }
  return total;
}
