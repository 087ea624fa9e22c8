/**
 * Runs that look at what a server allocates for a batch.
 *
 * V8 counts the bytes of JavaScript objects that an isolate has ever allocated: for the heap, a reading at
 * each end of a stretch of the stream is enough. For memory outside the heap it only knows what is held
 * now, which falls with each collection. A second stream therefore runs in small bursts with a reading after
 * each, and the median burst, in which nothing was collected, is taken. What the readings themselves hold is
 * measured first, with no batches between them, and subtracted.
 *
 * @module
 */

import type { Child } from "../child.ts";
import { median } from "../statistics.ts";
import type { SubjectHandlers } from "../subjects/subject.ts";
import type { Allocation, Usage } from "../subjects/usage.ts";
import type { SubjectName } from "./launch.ts";
import { type Bench, type OpenRun, pause, type Run, type Sample, type Window } from "./run.ts";
import { type ReadyServer, readyServer, streamOrder, streamWindow } from "./served.ts";

const batchesPerBurst = streamWindow;
const bursts = 75;
const idleReadings = 25;

/** Measures a server's allocation on one stream. The unit is a batch. */
export function allocationRun(name: SubjectName): Run {
  return {
    name: `allocation:${name}`,
    unit: "batch",
    async open(bench): Promise<OpenRun> {
      const server = await readyServer(name);
      return {
        async measure(window) {
          const sample = await measureHeap(bench, server, window);
          const external = await measureExternal(bench, server);
          if (sample.allocatedPerUnit) sample.allocatedPerUnit.external = external;
          return sample;
        },
        [Symbol.asyncDispose]: () => server.subject[Symbol.asyncDispose](),
      };
    },
  };
}

async function measureHeap({ load }: Bench, server: ReadyServer, window: Window): Promise<Sample> {
  const look = async (): Promise<[Usage, Allocation]> => [
    await server.subject.ask("usage"),
    await server.subject.ask("allocation"),
  ];
  await load.ask("start", streamOrder(server));
  try {
    await pause(window.warmupSeconds);
    const [before, [usageBefore, heapBefore]] = await Promise.all([load.ask("progress"), look()]);
    await pause(window.seconds);
    const [after, [usageAfter, heapAfter]] = await Promise.all([load.ask("progress"), look()]);
    const units = after.units - before.units;
    if (units === 0) throw new Error(`${server.subject.name} answered nothing in ${window.seconds} s`);
    return {
      units,
      seconds: (after.atMs - before.atMs) / 1e3,
      cpuUs: usageAfter.cpuUs - usageBefore.cpuUs,
      clientCpuUs: after.cpuUs - before.cpuUs,
      collections: usageAfter.collections - usageBefore.collections,
      allocatedPerUnit: {
        mainHeap: (heapAfter.mainHeapBytes - heapBefore.mainHeapBytes) / units,
        workerHeap: (heapAfter.workerHeapBytes - heapBefore.workerHeapBytes) / units,
        external: 0,
      },
    };
  } finally {
    await load.ask("stop");
  }
}

async function measureExternal({ load }: Bench, server: ReadyServer): Promise<number> {
  await load.ask("start", { ...streamOrder(server), batches: batchesPerBurst });
  try {
    await load.ask("reach");
    const idle = await medianGrowth(server.subject, idleReadings, async () => {});
    const busy = await medianGrowth(server.subject, bursts, () => load.ask("advance", batchesPerBurst));
    return (busy - idle) / batchesPerBurst;
  } finally {
    await load.ask("stop");
  }
}

/** By how many bytes the memory outside the heap grows with each act, in the median. */
async function medianGrowth(
  subject: Child<SubjectHandlers>,
  acts: number,
  act: () => Promise<unknown>,
): Promise<number> {
  const growth: number[] = [];
  let before = await subject.ask("allocation");
  for (let i = 0; i < acts; i++) {
    await act();
    const after = await subject.ask("allocation");
    growth.push(after.externalBytes - before.externalBytes);
    before = after;
  }
  return median(growth);
}
