/**
 * A subject is a server under measurement, in a process of its own.
 *
 * @module
 */

import { answerParent } from "../child.ts";
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
    return {
      address: () => server.address,
      usage: () => ({ cpuUs: processCpuUs(), ...collected }),
      allocation: () => readAllocation(workers),
      memory: () => process.memoryUsage(),
      close: () => server.close(),
    };
  });
}
