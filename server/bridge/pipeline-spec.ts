/**
 * A pipeline as both sides know it: modules and resolved settings, ready to run.
 *
 * @module
 */

import type { BatchLimits } from "../limit-changes.ts";

/** Which stage with which module version. */
export interface StageIdentity {
  readonly stage: string;
  readonly module: string;
  readonly version: string;
  readonly digest: string;
}

/** What becomes of a record that a stage fails. */
export type FailurePolicy = "fail" | "drop" | "pass" | "dead_letter";

/** How a record that fails is tried again, resolved. */
export interface RetrySpec {
  /** Tries in all; 1 means no retry. */
  readonly attempts: number;
  readonly initialBackoffMs: number;
  readonly maxBackoffMs: number;
  readonly factor: number;
  /** The share of each wait that is left to chance, 0 to 1. */
  readonly jitter: number;
  /** Whether faults of the module are tried again, too. */
  readonly faults: boolean;
}

/** When to stop calling a module that keeps breaking, resolved. */
export interface BreakerSpec {
  /** Calls with a fault among the last `window` that open the breaker. */
  readonly faults: number;
  readonly window: number;
  readonly openMs: number;
  /** Successes in a row that close it again. */
  readonly probes: number;
  /** Whether calls with record failures count, too. */
  readonly recordFailures: boolean;
}

/** What a text must be like. Texts are compared by their UTF-8 bytes. */
export type TextMatch =
  | { readonly t: "exists" }
  | { readonly t: "prefix"; readonly text: string }
  | { readonly t: "equals"; readonly anyOf: readonly string[] };

/** What a record must be like for a stage to run it. */
export type ConditionSpec =
  | { readonly t: "header"; readonly name: string; readonly match: TextMatch }
  | { readonly t: "key"; readonly match: TextMatch }
  | { readonly t: "not"; readonly of: ConditionSpec }
  | { readonly t: "all" | "any"; readonly of: readonly ConditionSpec[] };

/** A module's code: compiled in this process, for its threads, or as bytes for a process that compiles it itself. */
export type ModuleCode =
  | { readonly t: "compiled"; readonly module: WebAssembly.Module }
  | { readonly t: "binary"; readonly clamped: Uint8Array };

/** Where a pipeline's guests run: in threads of the server's process, or in a process of their own. */
export type Isolation = "thread" | "process";

/** One stage, resolved: no defaults are left open. */
export interface StageSpec {
  /** The stage's name, unique in the pipeline. */
  readonly name: string;
  /** The module's name. */
  readonly module: string;
  /** The module's version. */
  readonly version: string;
  /** `sha256:` and 64 hex digits. */
  readonly digest: string;
  /** The four above, as figures are kept under. */
  readonly identity: StageIdentity;
  /** The module: where it is compiled, all threads share its native code. */
  readonly code: ModuleCode;
  /** How many bytes longer the code section's offset is than in the original binary, for trap offsets. */
  readonly codeSectionShiftBytes: number;
  /** The most that an instance takes of the worker's JavaScript heap, in bytes. */
  readonly instanceHeapBytes: number;
  /** What `leat_init` gets. */
  readonly configJson: string;
  /** How long one call into the guest may run a batch. */
  readonly batchTimeoutMs: number;
  /** How long one record may run. */
  readonly recordTimeoutMs: number;
  /** How large the guest's memory may be after a batch before its instance is replaced. */
  readonly memoryBytes: number;
  /** What becomes of a record that fails. */
  readonly onFailure: FailurePolicy;
  /** How a record that fails is tried again. */
  readonly retry: RetrySpec;
  /** When to stop calling the module; undefined for never. */
  readonly breaker: BreakerSpec | undefined;
  /** Whether each batch gets a new instance. */
  readonly fresh: boolean;
  /** Which records it runs; undefined for all. */
  readonly when?: ConditionSpec | undefined;
}

/** One pipeline, resolved. A changed pipeline is a new one with another id. */
export interface PipelineSpec {
  /** Unique in the server's life. */
  readonly id: number;
  /** The pipeline's name, or its modules' names for an inline chain. */
  readonly name: string;
  readonly stages: readonly StageSpec[];
  /** Where it runs; undefined where the server's workers run. */
  readonly isolation?: "process" | undefined;
  /** The limits that its batches run under from beginning to end: when those in force change, it gives way to another. */
  readonly limits: BatchLimits;
  /** Until when a module of it runs on probation after an abort, in milliseconds since the Unix epoch. Unset when none does. */
  readonly probationUntilMs?: number;
}
