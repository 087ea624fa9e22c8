/**
 * What a crossing must not do again after it has stopped a worker.
 *
 * @module
 */

import { ExclusionCode, maxExclusions, unknownRecord, wholeStage } from "../bridge/layout.ts";
import type { Limits } from "../limits.ts";
import type { Crossing } from "./crossing.ts";
import type { Overrun, Spent } from "./watchdog.ts";
import type { WorkerState } from "./worker-handle.ts";

/**
 * The watchdog has stopped the crossing's worker, in which it had run for `ranMs`; `measured` is what was over the limit.
 *
 * A record over its limit fails alone. A batch over its limit blames nobody: its records run one by one next, so
 * that each has its own limit. What a crossing may cost in all is bounded: when it has spent the time of
 * `maxFaultsPerBatch + 2` batches in stopped workers, or as much in one run record by record, or when no further
 * record can be remembered, all that is left at the stage fails.
 */
export function afterOverrun(
  crossing: Crossing,
  overrun: Overrun,
  { ranMs, measured }: Pick<Spent, "ranMs" | "measured">,
): void {
  crossing.spentMs += ranMs;
  if (overrun.t === "cancelled") return;
  withdrawBreakers(crossing);
  const { limits, stages } = crossing.pipeline.spec;
  const spec = stages[overrun.stage];
  const allowedMs = (limits.maxFaultsPerBatch + 2) * (spec?.batchTimeoutMs ?? 0);
  if (overrun.t === "init") {
    exclude(crossing, overrun.stage, wholeStage, ExclusionCode.initTimeout, measured);
  } else if (overrun.t === "run" || crossing.spentMs > allowedMs || !crossing.canExclude) {
    exclude(crossing, overrun.stage, wholeStage, ExclusionCode.timeout, measured);
  } else if (overrun.t === "record") {
    exclude(crossing, overrun.stage, overrun.record, ExclusionCode.timeout, measured);
    if (crossing.exclusions.length >= limits.maxFaultsPerBatch) {
      exclude(crossing, overrun.stage, unknownRecord, ExclusionCode.timeout, measured);
    }
  } else {
    exclude(crossing, overrun.stage, unknownRecord, ExclusionCode.timeout, measured);
  }
}

/** The crossing's worker has died while it ran: the record that the guest had named is blamed, else they run one by one. */
export function afterLoss(crossing: Crossing, stage: number, record: number): void {
  crossing.losses++;
  withdrawBreakers(crossing);
  const stepwise = crossing.exclusions.some(
    (known) => known.stage === stage && known.record === unknownRecord,
  );
  if (record >= 0) exclude(crossing, stage, record, ExclusionCode.workerLost);
  else exclude(crossing, stage, stepwise ? wholeStage : unknownRecord, ExclusionCode.workerLost);
}

/**
 * Whether a crossing runs once more before anything in it is blamed for its worker's death: the worker had no JavaScript heap left, which
 * the instances of all its pipelines share, so what filled it may be another's. It is counted as a loss, so in the next worker, which
 * has few instances, the blame falls.
 */
export function mayBeInnocent(crossing: Crossing, worker: WorkerState): boolean {
  if (worker.t !== "dead" || worker.reason !== "out_of_memory" || crossing.losses > 0) return false;
  crossing.losses++;
  return true;
}

/**
 * Whether a crossing has lost more workers than there are records and stages to leave out. A thread of ours leaves out
 * what it is told to; a process that was taken over may die again all the same.
 */
export function isHopeless({ losses }: Crossing, { maxStages }: Readonly<Limits>): boolean {
  return losses > maxExclusions + maxStages;
}

/** What an open breaker excluded held for that run only, and takes no place of what must be remembered. */
function withdrawBreakers(crossing: Crossing): void {
  if (crossing.exclusions.some(({ code }) => code === ExclusionCode.breakerOpen))
    crossing.exclusions = crossing.exclusions.filter(({ code }) => code !== ExclusionCode.breakerOpen);
}

/** The last place of the table is kept for giving up on the stage. */
function exclude(
  crossing: Crossing,
  stage: number,
  record: number,
  code: number,
  measured?: Spent["measured"],
): void {
  const known = crossing.exclusions.some((other) => other.stage === stage && other.record === record);
  if (known && record === unknownRecord) return;
  const exclusion = { stage, record: known ? wholeStage : record, code, measured };
  const others = crossing.canExclude ? crossing.exclusions : crossing.exclusions.slice(0, -1);
  crossing.exclusions = [...others, crossing.canExclude ? exclusion : { ...exclusion, record: wholeStage }];
}
