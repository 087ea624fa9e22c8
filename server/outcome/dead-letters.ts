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
    id: idOf(job, letter, record),
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

/**
 * A record that is sent again at its place of a named stream, or of a call that has an id, has the same id, so that it adds no letter.
 * A stream's name is no proof that it is the same stream: others take it too, and a producer that starts anew counts from 1
 * again. So the id is also that of who sent the record, of its pipeline, and of its bytes.
 */
function idOf(job: BatchJob, { index, place, matter }: LetterOf, record: Uint8Array): string {
  const { sender, streamId, callId, sequence, pipeline } = job;
  if (streamId === "" && callId === "") return randomUUID();
  const origin = [sender, pipeline.spec.name, streamId, callId, sequence, index, matter.stage, place];
  return createHash("sha256").update(JSON.stringify(origin)).update(record).digest("hex").slice(0, 32);
}
