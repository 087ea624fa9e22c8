/**
 * Counts what a server holds and must give back: threads, slots, pipelines. It listens in on the parts of the
 * server that hand these out, so that nothing in the server is there for tests only.
 *
 * @module
 */

import type { Worker } from "node:worker_threads";
import { Control, Phase } from "../../server/bridge/layout.ts";
import { ServingPipeline } from "../../server/pool/serving-pipeline.ts";
import { WorkerHandle } from "../../server/pool/worker-handle.ts";

/** Threads that run. */
const threads = new Set<Worker>();
process.on("worker", (worker: Worker) => {
  threads.add(worker);
  worker.once("exit", () => threads.delete(worker));
});

/** Workers that were given anything to do. */
const workers = new Set<WorkerHandle>();
/** How often each pipeline is held. */
const holds = new Map<ServingPipeline, number>();
let crossings = 0;

function count<Key>(counts: Map<Key, number>, key: Key, change: number): void {
  const sum = (counts.get(key) ?? 0) + change;
  if (sum === 0) counts.delete(key);
  else counts.set(key, sum);
}

/** Has `before` called ahead of each call of a method. */
function listenIn<Class extends object, Name extends keyof Class>(
  prototype: Class,
  name: Name,
  before: (self: Class) => void,
): void {
  const original = prototype[name] as (...args: unknown[]) => unknown;
  prototype[name] = function (this: Class, ...args: unknown[]): unknown {
    before(this);
    return original.apply(this, args);
  } as Class[Name];
}

listenIn(WorkerHandle.prototype, "submit", (worker) => {
  crossings++;
  workers.add(worker);
});
listenIn(ServingPipeline.prototype, "hold", (pipeline) => count(holds, pipeline, 1));
listenIn(ServingPipeline.prototype, "release", (pipeline) => count(holds, pipeline, -1));

/** How many crossings were handed to workers since the process began. */
export function crossingsSoFar(): number {
  return crossings;
}

/** The worker threads that run, over all servers of the process. */
export function liveThreads(): readonly Worker[] {
  return [...threads];
}

/** The records that guests work on at this moment, in all workers; -1 stands for one that has not said. */
export function recordsAtWork(): number[] {
  return [...workers]
    .filter((worker) => worker.current !== undefined && worker.state.t === "ready")
    .filter(({ memory }) => Atomics.load(memory.words, Control.currentPhase) === Phase.execute)
    .map(({ memory }) => Atomics.load(memory.words, Control.currentRecord));
}

/** What is held that a server at rest does not hold, in words; empty when there is nothing. */
export function heldThings(): string[] {
  const held: string[] = [];
  for (const worker of workers) {
    // A dead worker's slots are gone with it.
    if (worker.state.t === "dead") workers.delete(worker);
    else if (worker.slotsInUse > 0)
      held.push(`worker ${worker.number} has ${worker.slotsInUse} slots that did not come back`);
  }
  for (const [pipeline, sum] of holds) held.push(`pipeline ${pipeline.spec.name} is held ${sum} times`);
  return held;
}
