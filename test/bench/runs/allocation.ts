/**
 * Runs that look at what a server allocates for a batch.
 *
 * V8 counts the bytes of JavaScript objects that an isolate has ever allocated, so for the heap two readings
 * are enough. For memory outside the heap it only knows what is held now, which falls with each
 * collection. The stream is therefore run in small bursts with a reading after each, and the median burst,
 * in which nothing was collected, is taken. What the readings themselves allocate is measured first, with
 * no batches between them, and subtracted.
 *
 * @module
 */

import { median } from "../statistics.ts";
import type { Allocation } from "../subjects/usage.ts";
import type { SubjectName } from "./launch.ts";
import type { AllocatedBytes, OpenRun, Run } from "./run.ts";
import { readyServer, streamWindow } from "./served.ts";

const batchesPerBurst = streamWindow;
const warmupBatches = 3_000;
const idleReadings = 25;

/** Measures a server's allocation on one stream. The unit is a batch. */
export function allocationRun(name: SubjectName): Run {
  return {
    name: `allocation:${name}`,
    unit: "batch",
    async open({ load }): Promise<OpenRun> {
      const { subject, ...order } = await readyServer(name);

      /** Reads before and after each act, and returns the median difference of each figure. */
      async function readAround(acts: number, act: () => Promise<unknown>): Promise<AllocatedBytes> {
        const differences: AllocatedBytes[] = [];
        let before = await subject.ask("allocation");
        for (let i = 0; i < acts; i++) {
          await act();
          const after = await subject.ask("allocation");
          differences.push(subtract(after, before));
          before = after;
        }
        return {
          mainHeap: median(differences.map((difference) => difference.mainHeap)),
          workerHeap: median(differences.map((difference) => difference.workerHeap)),
          external: median(differences.map((difference) => difference.external)),
        };
      }

      return {
        async measure(window) {
          await load.ask("start", { kind: "stream", ...order, window: streamWindow, batches: warmupBatches });
          try {
            await load.ask("reach");
            const idle = await readAround(idleReadings, async () => {});
            const usageBefore = await subject.ask("usage");
            const start = performance.now();
            // About as many bursts as fit into the window at 2 ms each; the figures do not depend on it.
            const bursts = Math.ceil((window.seconds * 1e3) / 20);
            const busy = await readAround(bursts, () => load.ask("advance", batchesPerBurst));
            const usageAfter = await subject.ask("usage");
            const perUnit = (key: keyof AllocatedBytes) => (busy[key] - idle[key]) / batchesPerBurst;
            return {
              units: bursts * batchesPerBurst,
              seconds: (performance.now() - start) / 1e3,
              cpuUs: usageAfter.cpuUs - usageBefore.cpuUs,
              clientCpuUs: 0,
              collections: usageAfter.collections - usageBefore.collections,
              allocatedPerUnit: {
                mainHeap: perUnit("mainHeap"),
                workerHeap: perUnit("workerHeap"),
                external: perUnit("external"),
              },
            };
          } finally {
            await load.ask("stop");
          }
        },
        [Symbol.asyncDispose]: () => subject[Symbol.asyncDispose](),
      };
    },
  };
}

function subtract(after: Allocation, before: Allocation): AllocatedBytes {
  return {
    mainHeap: after.mainHeapBytes - before.mainHeapBytes,
    workerHeap: after.workerHeapBytes - before.workerHeapBytes,
    external: after.externalBytes - before.externalBytes,
  };
}
