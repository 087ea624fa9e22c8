/**
 * Makes dead letters of records that failed for good.
 *
 * @module
 */

import { createHash, randomUUID } from "node:crypto";
import type { FailureMatter } from "../bridge/from-worker.ts";
import type { BatchJob } from "../pool/batch-job.ts";
import { recordBodies } from "../record/batch.ts";
import type { DeadLetterDraft, DeadLetterSink } from "../store/dead-letter-store.ts";

/** A failure that becomes a letter. */
export interface LetterOf {
  /** The record's place in its batch. */
  readonly index: number;
  /** Which of the record's failures it is, from 0: a record that was split may fail several times. */
  readonly place: number;
  readonly matter: FailureMatter;
  readonly attempts: number;
}

/**
 * Writes letters. @returns their ids, in order
 *
 * @throws what the sink throws: then none is kept
 */
export async function writeLetters(
  sink: DeadLetterSink,
  job: BatchJob,
  letters: readonly LetterOf[],
  nowMs: number,
): Promise<string[]> {
  const bodies = recordBodies(job.bytes, job.start, job.end);
  const drafts = letters.map((letter) =>
    draft(job, letter, bodies[letter.index]?.body ?? Buffer.alloc(0), nowMs),
  );
  await sink.write(drafts);
  return drafts.map(({ id }) => id);
}

function draft(job: BatchJob, letter: LetterOf, record: Uint8Array, nowMs: number): DeadLetterDraft {
  const { matter, index, attempts } = letter;
  const { spec } = job.pipeline;
  const stage = spec.stages[matter.stage];
  return {
    id: idOf(job, letter),
    timeMs: Math.floor(nowMs),
    pipeline: spec.name,
    stage: stage?.name ?? "",
    module: stage?.module ?? "",
    version: stage?.version ?? "",
    digest: stage?.digest ?? "",
    code: matter.code,
    message: matter.message,
    attempts,
    traceId: job.trace?.traceId ?? "",
    streamId: job.streamId,
    sequence: job.sequence,
    index,
    record,
    stageInput: matter.input,
  };
}

/** A record of a named stream always has the same id, so that a batch that is sent again adds no letter. */
function idOf(job: BatchJob, { index, place, matter }: LetterOf): string {
  if (job.streamId === "") return randomUUID();
  const place64 = JSON.stringify([job.streamId, job.sequence, index, matter.stage, place]);
  return createHash("sha256").update(place64).digest("hex").slice(0, 32);
}
