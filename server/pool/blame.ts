/**
 * Who is to blame for the end of a worker, and what that means for its next run.
 *
 * @module
 */

import { Control } from "../bridge/layout.ts";
import type { Crossing } from "./crossing.ts";
import type { PoolEvents } from "./pool-events.ts";
import { afterLoss, afterOverrun, mayBeInnocent } from "./recovery.ts";
import type { Overrun, Spent } from "./watchdog.ts";
import type { WorkerHandle } from "./worker-handle.ts";

/** What the watchdog has stopped a worker for. */
export interface Stopped {
  readonly crossing: Crossing;
  readonly overrun: Overrun;
  readonly spent: Spent;
}

/** Remembers what the watchdog has stopped a worker for, so that it is not run again. */
export function blameStopped(
  events: Pick<PoolEvents, "lost" | "fault">,
  worker: WorkerHandle,
  running: Crossing,
  { crossing, overrun, spent }: Stopped,
): void {
  events.lost(worker, running, spent.cpuMs);
  if (crossing !== running) return;
  if (overrun.t !== "cancelled") events.fault(running, overrun.stage);
  afterOverrun(running, overrun, spent);
}

/**
 * Remembers under what a worker has died, so that it is not run again. Where it named nothing, the oldest crossing that it had
 * counts the loss, since a worker runs them in their order: so none takes workers along for ever.
 *
 * @param left - what the worker had and has not completed, in the order of submission
 */
export function blameDead(
  events: Pick<PoolEvents, "lost" | "fault">,
  worker: WorkerHandle,
  running: Crossing | undefined,
  [oldest]: readonly Crossing[],
): void {
  if (running === undefined) {
    if (oldest !== undefined) oldest.losses++;
    return;
  }
  const { words } = worker.memory;
  const stage = words[Control.currentStage] as number;
  events.lost(worker, running, 0);
  if (mayBeInnocent(running, worker.state)) return;
  events.fault(running, stage);
  afterLoss(running, stage, words[Control.currentRecord] as number);
}
