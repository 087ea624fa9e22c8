/**
 * The shared memory between the main thread and one worker thread: how it is laid out.
 *
 * ```
 * Int32    control words │ submit ring │ complete ring │ slot 0 words │ slot 1 words │ …
 * Float64  slot 0 times │ slot 1 times │ …
 * bytes    slot 0 input │ slot 0 output │ slot 1 input │ …
 * ```
 *
 * A slot belongs to the main thread until its number is in the submit ring, then to the worker until
 * its number is in the complete ring. Both rings have one writer and one reader and room for every slot,
 * so neither can overflow.
 *
 * @module
 */

import type { Limits } from "../limits.ts";

/** Words that belong to the worker as a whole. */
export const Control = {
  /** Counts what the main thread wants noticed; the worker sleeps on it. */
  doorbell: 0,
  /** 1 while the worker sleeps or is about to. */
  asleep: 1,
  /** 1 while the main thread wants a message for the next completion. */
  armed: 2,
  /** How many slots were submitted, modulo 2^32. */
  submitted: 3,
  /** How many slots were completed, modulo 2^32. */
  completed: 4,
  /** How many messages the main thread has posted, modulo 2^32. */
  posted: 5,
  /** The slot that is being run, or -1. */
  currentSlot: 6,
  /** The stage that is being run. */
  currentStage: 7,
  /** The record that the guest says it works on, as an index into the stage's input, or -1. */
  currentRecord: 8,
  /** What is being done: a {@link Phase}. */
  currentPhase: 9,
  /** Counts batches begun, modulo 2^32, so that the watchdog can tell one from the next. */
  begun: 10,
  /** Instances alive in this worker. */
  instances: 11,
  /** Counts calls into guests, modulo 2^32: each has its own time limit. */
  guestCalls: 12,
  /** The memory of the instances alive in this worker, in pages of 64 KiB. */
  instancePages: 13,
} as const;

/** What a worker is doing, for its watchdog. */
export const Phase = {
  /** It has no batch. */
  idle: 0,
  /** A guest is being started. */
  init: 1,
  /** A guest runs, or what it returned is read. */
  execute: 2,
  /** What the host does with a batch around the calls of guests. */
  host: 3,
} as const;

/** Words of one slot. */
export const Slot = {
  /** The pipeline to run. */
  pipeline: 0,
  /** The input's length in bytes. */
  inputLength: 1,
  /** Calls merged into this crossing; at least 1. */
  segments: 2,
  /** Set to 1 by the main thread when nobody waits for the result any more. */
  cancelled: 3,
  /** Records that must not be run again, in the exclusion table. */
  exclusions: 4,
  /** How it ended: an {@link Outcome}. */
  outcome: 5,
  /** Stages that were begun. */
  stagesBegun: 6,
  /** Where input and output lie: a sum of {@link Transfer}. */
  transfer: 7,
  /** 1 when a report on failures was posted. */
  reported: 8,
  /** Records of all segments that came in. */
  recordsIn: 10,
  /** Records of all segments that went out. */
  recordsOut: 11,
  /** Records of all segments that failed. */
  recordsFailed: 12,
  /** Who has it, while it is in the submit ring: a {@link Claim}. Changed by compare-and-exchange only. */
  claim: 13,
  /** Where the stage table begins. */
  stages: 16,
} as const;

/** Who has a submitted slot. The main thread takes one back when its worker is held up by an earlier one. */
export const Claim = { open: 0, worker: 1, takenBack: 2 } as const;

/** How a run ended. */
export const Outcome = {
  /** The segments have their results. */
  result: 0,
  /** A segment was no valid batch; the report says why. */
  malformed: 1,
  /** It was cancelled on the way. */
  cancelled: 2,
  /** The worker does not know the pipeline, or broke; the report says why. */
  failed: 3,
  /** There were too many records; `recordsIn` says how many. */
  tooManyRecords: 4,
  /** Together the calls asked for more than one may have: each must run alone. */
  apart: 5,
  /** V8 refused a module where it was to run; the report says why. */
  uncompiled: 6,
} as const;

/** What went by message instead of through the slot. */
export const Transfer = { none: 0, input: 1, output: 2 } as const;

/** Words of one entry of the stage table. */
export const StageWord = {
  recordsIn: 0,
  recordsOut: 1,
  recordsFailed: 2,
  instancesCreated: 3,
  faults: 4,
  /** Processor time of the thread while the stage ran, in microseconds. */
  cpuUs: 5,
  /** The largest memory that an instance had, in pages of 64 KiB. */
  memoryPages: 6,
  /** Instances that were dropped after a fault. */
  discardedFault: 7,
  /** Instances that were dropped since they had grown above their mark. */
  discardedMemory: 8,
  /** Instances that were dropped since each batch gets a new one. */
  discardedFresh: 9,
  /** Instances that had given way to others since the stage last ran. */
  discardedEvicted: 10,
  /** Lines that the guest logged and that were passed on. */
  logLines: 11,
  /** Lines that the guest logged and that were dropped. */
  logLinesDropped: 12,
  /** Additions to the guest's own counters. */
  counterUpdates: 13,
  /** Those of them whose name found no room. */
  counterUpdatesUnnamed: 14,
  /** Records that passed the stage by. Where all did, the module was not called. */
  recordsSkipped: 15,
  size: 16,
} as const;

/** Whether all records passed a stage by, so that its module was not called. */
export function wasSkipped(words: Int32Array, stageEntry: number): boolean {
  return words[stageEntry + StageWord.recordsIn] === 0 && words[stageEntry + StageWord.recordsSkipped] !== 0;
}

/** Words of one entry of the segment table. */
export const SegmentWord = {
  length: 0,
  outputStart: 1,
  outputLength: 2,
  recordsIn: 3,
  recordsOut: 4,
  recordsFailed: 5,
  size: 8,
} as const;

/** Words of one entry of the exclusion table. The times are in milliseconds, -1 where they are not known. */
export const ExclusionWord = { stage: 0, record: 1, code: 2, wallMs: 3, cpuMs: 4, size: 6 } as const;

/** Why a record must not be run again. */
export const ExclusionCode = { timeout: 0, workerLost: 1, initTimeout: 2, breakerOpen: 3 } as const;

/** `record` of an exclusion: the stage's whole input. */
export const wholeStage = -1;
/** `record` of an exclusion: nobody knows which record; the stage must run record by record. */
export const unknownRecord = -2;

/** Records and stages that a crossing leaves out since they have stopped workers, at most. An open breaker adds its stage for one run. */
export const maxExclusions = 64;

/** Free bytes before each segment's result, for the head of the response that the main thread puts there. */
export const outputHeadroomBytes = 64;

/** Where everything lies in the shared memory of one worker. */
export interface Layout {
  readonly slots: number;
  readonly maxStages: number;
  readonly maxSegments: number;
  /** Entries of the exclusion table. */
  readonly maxExclusions: number;
  readonly submitRing: number;
  readonly completeRing: number;
  readonly slotWords: number;
  readonly slotWordCount: number;
  readonly segmentTable: number;
  readonly exclusionTable: number;
  readonly timesOffset: number;
  readonly slotTimes: number;
  readonly dataOffset: number;
  readonly slotBytes: number;
  readonly inputBytes: number;
  readonly outputBytes: number;
  readonly totalBytes: number;
}

/** Words that belong to the worker as a whole, with some to spare. */
export const controlWords = 16;

/** Computes the layout for the limits. Both threads do so from the same limits. */
export function layoutFor(
  limits: Pick<
    Limits,
    "maxWorkerQueue" | "maxStages" | "maxCoalescedCalls" | "slotInputBytes" | "slotOutputBytes"
  >,
): Layout {
  // Results that wait to be written hold their slots: four times as many as can be queued.
  const slots = 2 ** Math.ceil(Math.log2(limits.maxWorkerQueue * 4));
  const segmentTable = Slot.stages + limits.maxStages * StageWord.size;
  // Where no calls are merged, a crossing is still one.
  const maxSegments = Math.max(1, limits.maxCoalescedCalls);
  const exclusionTable = segmentTable + maxSegments * SegmentWord.size;
  const exclusions = maxExclusions + limits.maxStages;
  const slotWordCount = exclusionTable + exclusions * ExclusionWord.size;
  const slotWords = controlWords + 2 * slots;
  const timesOffset = align((slotWords + slots * slotWordCount) * Int32Array.BYTES_PER_ELEMENT);
  const slotTimes = 2 + 2 * limits.maxStages;
  const dataOffset = align(timesOffset + slots * slotTimes * Float64Array.BYTES_PER_ELEMENT);
  const inputBytes = align(limits.slotInputBytes);
  const outputBytes = align(limits.slotOutputBytes);
  const slotBytes = inputBytes + outputBytes;
  return {
    slots,
    maxStages: limits.maxStages,
    maxSegments,
    maxExclusions: exclusions,
    submitRing: controlWords,
    completeRing: controlWords + slots,
    slotWords,
    slotWordCount,
    segmentTable,
    exclusionTable,
    timesOffset,
    slotTimes,
    dataOffset,
    slotBytes,
    inputBytes,
    outputBytes,
    totalBytes: dataOffset + slots * slotBytes,
  };
}

/** Up to whole cache lines, so that neighbours do not share one. */
function align(bytes: number): number {
  return Math.ceil(bytes / 64) * 64;
}
