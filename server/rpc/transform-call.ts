/**
 * One unary Transform: check, admit, submit.
 *
 * @module
 */

import type { Target } from "@leat/proto";
import { anonymous, type Principal } from "../access/principal.ts";
import { type LeatError, leatError } from "../errors.ts";
import type { BatchJob, BatchOwner, BatchResult } from "../pool/batch-job.ts";
import type { ServingPipeline } from "../pool/serving-pipeline.ts";
import { walkBatch } from "../record/batch.ts";
import { Cursor, WireError } from "../record/wire.ts";
import type { Engine } from "./engine.ts";

/** A Transform as either door brings it. */
export interface TransformCall {
  readonly target: Target | undefined;
  /** What to run in place of what the target names. Default: that. */
  readonly pipeline?: ServingPipeline | undefined;
  /** The encoded RecordBatch lies in `[start, end)` of the bytes. */
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
  readonly traceparent: string | undefined;
  readonly tracestate: string | undefined;
  /** How long the caller waits from now on, in milliseconds. Default: as long as it takes. */
  readonly leftMs?: number | undefined;
  /** What the caller gave as {@link callIdHeader}. Default: nothing. */
  readonly callId?: string | undefined;
  /** Whether the batch is a dead letter, which makes no other one. Default: no. */
  readonly replayed?: boolean;
  /** Who calls; undefined where that was checked already. */
  readonly principal?: Principal | undefined;
}

/** The metadata with which a client names a call, the same each time that it sends it, so that a record of it makes one dead letter. */
export const callIdHeader = "leat-call-id";
/** As of a stream's name. */
const maxCallIdBytes = 128;

const cursor = new Cursor();

/**
 * Starts a Transform. Calls that need nothing built are submitted before this returns.
 *
 * @param settle - called once with the result, which must be used and released before it returns, or the error
 * @returns a function that cancels the call
 */
export function startTransform(
  engine: Engine,
  call: TransformCall,
  settle: (outcome: BatchResult | LeatError) => void,
): () => void {
  let job: BatchJob | undefined;
  let cancelled = false;
  const deadlineMs = engine.clock.nowMs() + (call.leftMs ?? Number.POSITIVE_INFINITY);
  const run = (pipeline: ServingPipeline): void => {
    if (cancelled) {
      settle(leatError("CANCELLED"));
      return;
    }
    const nowMs = engine.clock.nowMs();
    engine.keepUp(pipeline, nowMs);
    const expectedMs = engine.expectedWaitMs(pipeline, nowMs);
    if (expectedMs > 0) engine.admission.checkWait(expectedMs, deadlineMs - nowMs);
    engine.admission.admit(call.end - call.start);
    const { bytes, start, end, traceparent, tracestate } = call;
    const owner: BatchOwner = {
      settled: (settled, outcome) => {
        engine.admission.release(settled.byteLength);
        settle(outcome);
      },
    };
    const mergeable = pipeline.mergesCalls && isSmall(engine, call, records);
    const sender = (call.principal ?? anonymous).name;
    const batch = {
      bytes,
      start,
      end,
      mergeable,
      sequence: 0,
      streamId: "",
      callId: call.callId ?? "",
      sender,
    };
    job = engine.submit("unary", owner, pipeline, batch, traceparent, tracestate);
    job.deadlineMs = deadlineMs;
    if (call.replayed === true) job.replayed = true;
  };
  const records = check(engine, call);
  const pipeline = call.pipeline ?? engine.registry.resolveNow(call.target);
  if (pipeline !== undefined) run(pipeline);
  else {
    const built = engine.registry.resolve(call.target).then((found) => {
      // While it was built, the limits may have changed, and those it runs under hold.
      checkBatch(engine, call);
      run(found);
    });
    built.catch(settle);
  }
  return () => {
    cancelled = true;
    job?.cancel(engine.clock.nowMs());
  };
}

/** Refuses what cannot be run, before it takes up room. @returns how many records there are */
function check(engine: Engine, call: TransformCall): number {
  if (call.principal !== undefined) engine.checkTarget(call.principal, call.target);
  engine.checkServing();
  if (call.callId !== undefined && Buffer.byteLength(call.callId) > maxCallIdBytes) {
    const problem = `longer than ${maxCallIdBytes} bytes`;
    throw leatError("REQUEST_INVALID", { field: callIdHeader, problem });
  }
  return checkBatch(engine, call);
}

function checkBatch(engine: Engine, { bytes, start, end }: TransformCall): number {
  engine.checkBatchSize(end - start);
  try {
    cursor.reset(bytes, start, end);
    const records = walkBatch(cursor);
    if (records > engine.limits.maxBatchRecords) {
      throw leatError("BATCH_TOO_MANY_RECORDS", {
        limit: "maxBatchRecords",
        value: engine.limits.maxBatchRecords,
        measured: records,
      });
    }
    return records;
  } catch (error) {
    if (error instanceof WireError) throw leatError("BATCH_MALFORMED", { problem: error.message });
    throw error;
  }
}

/** Whether a call may share a crossing: as many as may be merged must still be one batch within its limits. */
function isSmall(engine: Engine, { start, end }: TransformCall, records: number): boolean {
  const { maxCoalescedBytes, maxCoalescedCalls, maxBatchRecords } = engine.limits;
  return end - start <= maxCoalescedBytes / 4 && records * maxCoalescedCalls <= maxBatchRecords;
}
