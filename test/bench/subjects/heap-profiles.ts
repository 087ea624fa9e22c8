/**
 * Samples where a process's threads allocate JavaScript objects.
 *
 * @module
 */

import v8 from "node:v8";
import type { Worker } from "node:worker_threads";

/** One thread's .heapprofile. */
export interface HeapProfileText {
  main: boolean;
  json: string;
}

const options = {
  // Bytes between two samples: fine enough for a few thousand batches, coarse enough to cost little.
  sampleInterval: 8_192,
  includeObjectsCollectedByMajorGC: true,
  includeObjectsCollectedByMinorGC: true,
};

/** Starts to sample on the main thread and these workers; the result stops it. */
export async function startHeapProfiles(
  workers: Iterable<Worker>,
): Promise<() => Promise<HeapProfileText[]>> {
  const ofWorkers = await Promise.all([...workers].map((worker) => worker.startHeapProfile(options)));
  const ofMain = v8.startHeapProfile(options);
  return async () => [
    { main: true, json: ofMain.stop() },
    ...(await Promise.all(ofWorkers.map(async (profile) => ({ main: false, json: await profile.stop() })))),
  ];
}
