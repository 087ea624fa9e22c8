/**
 * Tells the main thread which failures it has to deal with: those that a policy tries again, and those
 * that become dead letters.
 *
 * @module
 */

import type { FailureMatter } from "../bridge/from-worker.ts";
import { isHostCode } from "../errors.ts";
import { recordBody, recordStarts } from "./isolate.ts";
import type { StageFailure, StageInput } from "./stage-io.ts";
import type { StageRunner } from "./stage-runner.ts";

/** Makes a failure's matter, given its input's place in the batch; empty when nothing is to be done. */
export type MakeMatter = (failure: StageFailure, origin: number) => FailureMatter[];

/** Undefined when the stage neither retries nor keeps letters. */
export function mattersFor(runner: StageRunner, input: StageInput): MakeMatter | undefined {
  const { retry, onFailure } = runner.spec;
  const letter = onFailure === "dead_letter";
  if (retry.attempts <= 1 && !letter) return undefined;
  const starts =
    letter && runner.index > 0 ? recordStarts(input.bytes, input.start, input.end, input.records) : undefined;
  return ({ index, code, message, retryable }, origin) => {
    const again = retry.attempts > 1 && (retryable || (retry.faults && isHostCode(code)));
    if (!again && !letter) return [];
    const stageInput = starts === undefined ? undefined : recordBody(input.bytes, starts, index);
    return [{ index: origin, stage: runner.index, code, message, retry: again, letter, input: stageInput }];
  };
}
