/**
 * What the process that makes load can be asked.
 *
 * @module
 */

import type { SdkOrder } from "./sdk.ts";
import type { StreamOrder } from "./stream.ts";
import type { UnaryOrder } from "./unary.ts";

/** Load that is being made. */
export interface Load {
  /** Batches or calls that have been answered. */
  units(): number;
  /** Rejects when the load fails; resolves when it has stopped. */
  failed: Promise<void>;
  /** Starts nothing new, waits for what is open. */
  stop(): Promise<void>;
  /** For a stream with a number of batches: settles when they are answered. */
  reached?: Promise<void>;
  /** For such a stream: sends so many more, settles when they are answered. */
  advance?(batches: number): Promise<void>;
}

/** What load to make. */
export type LoadOrder = StreamOrder | UnaryOrder | SdkOrder;

/** How far the load is. */
export interface Progress {
  /** Batches or calls that have been answered. */
  units: number;
  /** The load process's own clock, in milliseconds. */
  atMs: number;
  /** CPU of the load process, in microseconds. */
  cpuUs: number;
}

/** What the load process can be asked. It makes one load at a time. */
export type LoadHandlers = {
  start(order: LoadOrder): Promise<void>;
  /** Throws when the load has failed. */
  progress(): Promise<Progress>;
  /** Waits until a stream with a number of batches has done them. */
  reach(): Promise<Progress>;
  /** Lets such a stream do so many batches more, and waits until they are answered. */
  advance(batches: number): Promise<Progress>;
  stop(): Promise<void>;
};
