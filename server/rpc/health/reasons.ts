/**
 * Why something does not serve, and what is worth a remark although it does.
 *
 * @module
 */

/** What can be wrong, as programs read it. */
export type HealthCode =
  /** The server has not begun to take calls. */
  | "starting"
  /** The server takes no more calls. */
  | "draining"
  /** No worker thread has been ready for a while. */
  | "no_worker"
  /** The data folder cannot be used: dead letters are lost, and modules and pipelines cannot be changed. */
  | "store_down"
  /** A module must not run. */
  | "module_quarantined"
  /** A module holds others up, and has one worker at a time with all others that do. */
  | "module_confined"
  /** The signature policy keeps a module from running. */
  | "module_refused"
  /** A module that keeps breaking is not called for a while. */
  | "breaker_open"
  /** A pipeline names a module that is not loaded. */
  | "module_missing"
  /** A module's file is gone or broken. */
  | "module_broken"
  /** A stored pipeline could not be built when it was last tried. */
  | "pipeline_broken";

/** One thing that is wrong. */
export interface HealthReason {
  readonly code: HealthCode;
  /** Whether it keeps the server, or the pipeline that was asked about, from serving; else it is a remark. */
  readonly blocking: boolean;
  /** What is wrong, for people. */
  readonly message: string;
  /** The module that it is about, as `name@version`, or its digest where no module of that digest is loaded. */
  readonly module?: string;
  /** The stored pipelines that it concerns, by name. */
  readonly pipelines?: readonly string[];
}

/** Whether something serves, and why not. */
export interface Health {
  readonly serving: boolean;
  readonly reasons: readonly HealthReason[];
  /** When this may change by itself, in milliseconds of the server's clock; Infinity where it does not. */
  readonly untilMs: number;
}

/** Health from what is wrong. */
export function healthOf(
  reasons: readonly HealthReason[],
  untilMs: number = Number.POSITIVE_INFINITY,
): Health {
  return { serving: !reasons.some(({ blocking }) => blocking), reasons, untilMs };
}
