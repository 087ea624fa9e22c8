/**
 * Batches whose first run is done, for tests of what comes after.
 *
 * @module
 */

import { create, toBinary } from "@bufbuild/protobuf";
import { RecordBatchSchema, TransformResultSchema } from "@leat/proto";
import type { FailureMatter } from "../../server/bridge/from-worker.ts";
import type { RetrySpec } from "../../server/bridge/pipeline-spec.ts";
import type { LeatError } from "../../server/errors.ts";
import { defaultLimits } from "../../server/limits.ts";
import { Aftermath, type AftermathParts } from "../../server/outcome/aftermath.ts";
import { BatchJob, type BatchOwner, type BatchResult } from "../../server/pool/batch-job.ts";
import type { DeadLetterDraft } from "../../server/store/dead-letter-store.ts";
import { BatchTracer } from "../../server/telemetry/batch-trace.ts";
import { Stats } from "../../server/telemetry/stats.ts";
import { idlePipeline, idleStage } from "./jobs.ts";

/** A batch of one record. */
export const batch = toBinary(RecordBatchSchema, create(RecordBatchSchema, { records: [{}] }));

/** All of some bytes. */
export function whole(bytes: Uint8Array) {
  return {
    bytes: Buffer.from(bytes),
    start: 0,
    end: bytes.length,
    mergeable: false,
    sequence: 0,
    streamId: "",
  };
}

/** What an aftermath works with, on the timers' clock. */
export function partsOf(submit: AftermathParts["submit"], answered: BatchResult[]): AftermathParts {
  return {
    clock: { nowMs: () => Date.now(), wallMs: () => Date.now() },
    limits: defaultLimits,
    held: { bytes: 0 },
    stats: new Stats(),
    tracer: new BatchTracer(undefined),
    random: () => 0,
    submit,
    answer: (job, result) => {
      answered.push(result);
      job.settle(result);
    },
    deadLetters: undefined,
    onLettersLost: () => {},
  };
}

function resultFrom(bytes: Uint8Array, counts: { in: number; out: number; failed: number }): BatchResult {
  return {
    bytes: Buffer.from(bytes),
    start: 0,
    length: bytes.length,
    recordsIn: counts.in,
    recordsOut: counts.out,
    recordsFailed: counts.failed,
    scarce: false,
    release: () => {},
  };
}

/** What a run gives whose only record fails, or comes through. */
export function resultOf(failed: boolean): BatchResult {
  const bytes = toBinary(
    TransformResultSchema,
    create(
      TransformResultSchema,
      failed
        ? { fanout: [0], failures: [{ index: 0, code: "later", stage: "s1", attempts: 1 }] }
        : { batch: { records: [{}] }, fanout: [1] },
    ),
  );
  return resultFrom(bytes, { in: 1, out: failed ? 0 : 1, failed: failed ? 1 : 0 });
}

/** What that run leaves over. */
export const matter: FailureMatter = {
  index: 0,
  stage: 0,
  code: "later",
  message: "",
  retry: true,
  letter: false,
  input: undefined,
};

/** Two more tries, a minute after each other. */
export const patient: RetrySpec = {
  attempts: 3,
  initialBackoffMs: 60_000,
  maxBackoffMs: 60_000,
  factor: 1,
  jitter: 0,
  faults: false,
};

/** An aftermath of one record that may be tried again, and becomes a letter if it fails for good. */
export function beginPatient(settings: Partial<AftermathParts> = {}, deadlineMs = Number.POSITIVE_INFINITY) {
  const submitted: BatchJob[] = [];
  const answered: BatchResult[] = [];
  const letters: DeadLetterDraft[] = [];
  const parts: AftermathParts = {
    ...partsOf((job) => submitted.push(job), answered),
    deadLetters: { write: async (drafts) => void letters.push(...drafts) },
    ...settings,
  };
  const pipeline = idlePipeline([idleStage({ retry: patient, onFailure: "dead_letter" })]);
  const outcomes: (BatchResult | LeatError)[] = [];
  const owner: BatchOwner = { settled: (_, outcome) => void outcomes.push(outcome) };
  const job = new BatchJob(owner, pipeline, whole(batch), Date.now());
  job.deadlineMs = deadlineMs;
  Aftermath.begin(parts, job, resultOf(true), [{ ...matter, letter: true }]);
  return { job, submitted, answered, letters, outcomes };
}

/** A result of records that say which run they are of, and the matters of those that failed. */
export function runOf(records: readonly { readonly name: string; readonly stages: readonly number[] }[]): {
  result: BatchResult;
  matters: FailureMatter[];
} {
  const fine = records.filter(({ stages }) => stages.length === 0);
  const failures = records.flatMap(({ stages }, index) =>
    stages.map((stage) => ({ index, code: "later", stage: `s${stage}`, attempts: 1 })),
  );
  const bytes = toBinary(
    TransformResultSchema,
    create(TransformResultSchema, {
      batch: { records: fine.map(({ name }) => ({ value: Buffer.from(name) })) },
      fanout: records.map(({ stages }) => (stages.length === 0 ? 1 : 0)),
      failures,
    }),
  );
  const matters = failures.map(({ index, stage }) => ({ ...matter, index, stage: Number(stage.slice(1)) }));
  const counts = { in: records.length, out: fine.length, failed: failures.length };
  return { result: resultFrom(bytes, counts), matters };
}
