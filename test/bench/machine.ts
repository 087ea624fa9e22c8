/**
 * Where the figures were measured.
 *
 * @module
 */

import os from "node:os";
import { nodeFlags } from "./runs/launch.ts";

/** The machine and the runtime. */
export interface Machine {
  cpu: string;
  cores: number;
  memoryGiB: number;
  system: string;
  node: string;
  v8: string;
  /** Node's flags for all servers under measurement and the load. */
  flags: readonly string[];
  /** When this was written down, in ISO 8601. */
  time: string;
  /** Processes that were running or waiting to, over the last minute: what else keeps the machine busy. */
  loadAverage: number;
}

/** Describes this machine. */
export function describeMachine(): Machine {
  return {
    cpu: os.cpus()[0]?.model.trim() ?? "unknown",
    cores: os.availableParallelism(),
    memoryGiB: Math.round(os.totalmem() / 2 ** 30),
    system: `${os.type()} ${os.release()} ${os.arch()}`,
    node: process.version,
    v8: process.versions.v8,
    flags: nodeFlags,
    time: new Date().toISOString(),
    loadAverage: os.loadavg()[0] ?? 0,
  };
}
