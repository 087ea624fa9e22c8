/**
 * A subject is a server under measurement, in a process of its own.
 *
 * @module
 */

import { answerParent } from "../child.ts";
import { type HeapProfileText, startHeapProfiles } from "./heap-profiles.ts";
import {
  type Allocation,
  countCollections,
  processCpuUs,
  readAllocation,
  trackWorkers,
  type Usage,
} from "./usage.ts";

/** What every server under measurement can be asked. */
export type SubjectHandlers = {
  /** Where it listens, as `host:port`. */
  address(): string;
  usage(): Usage;
  allocation(): Promise<Allocation>;
  memory(): NodeJS.MemoryUsage;
  /** Starts to sample where the threads allocate. */
  startHeapProfiles(): Promise<void>;
  /** Stops that and returns what was sampled. */
  stopHeapProfiles(): Promise<HeapProfileText[]>;
  /** Stops the server. */
  close(): Promise<void>;
};

/** A running server, as its file hands it over. */
export interface RunningServer {
  /** `host:port`. */
  address: string;
  close(): Promise<void>;
}

/** Runs a server in this process and answers the bench's questions about it. */
export function serveSubject(start: () => Promise<RunningServer>): void {
  const workers = trackWorkers();
  const collected = countCollections();
  void answerParent<SubjectHandlers>(async () => {
    const server = await start();
    let stopHeapProfiles = async (): Promise<HeapProfileText[]> => [];
    return {
      address: () => server.address,
      usage: () => ({ cpuUs: processCpuUs(), ...collected }),
      allocation: () => readAllocation(workers),
      memory: () => process.memoryUsage(),
      async startHeapProfiles() {
        stopHeapProfiles = await startHeapProfiles(workers);
      },
      stopHeapProfiles: () => stopHeapProfiles(),
      close: () => server.close(),
    };
  });
}
