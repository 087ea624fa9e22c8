/**
 * Runs dead letters again. Each is a batch of its own, so that one that takes its worker down, or waits for a
 * retry, holds up none of the others; small ones share crossings all the same.
 *
 * @module
 */

import { setTimeout as delay } from "node:timers/promises";
import { create, fromBinary } from "@bufbuild/protobuf";
import {
  type ReplayDeadLettersRequest,
  type ReplayDeadLettersResponse,
  ReplayDeadLettersResponseSchema,
  type Target,
  TargetSchema,
  type TransformResult,
  TransformResultSchema,
} from "@leat/proto";
import { LeatError, leatError } from "../errors.ts";
import type { ServingPipeline } from "../pool/serving-pipeline.ts";
import { varintSize, writeVarint } from "../record/wire.ts";
import type { KeptDeadLetter, LetterFilter } from "../store/dead-letter-store.ts";
import type { Engine } from "./engine.ts";
import { startTransform, type TransformCall } from "./transform-call.ts";

/** `RecordBatch.records`. */
const recordsTag = (1 << 3) | 2;
/** How a pipeline is called that a call made of a chain of modules. */
const inlinePrefix = "inline:";
/** What a refusal of a letter's batch means: come again later. */
const waitReasons: ReadonlySet<string> = new Set(["QUEUE_FULL", "QUEUE_TOO_LONG"]);
/** How long a letter waits when a refusal does not say. */
const defaultWaitMs = 100;
/** How long a letter waits at most, in all, for a breaker to let calls through. */
const maxBreakerWaitMs = 60_000;

/**
 * Runs letters again, oldest first, and tells what became of each in that order. Reads and runs no further ahead of
 * its caller than `maxReplaysInFlight`.
 *
 * A letter whose record came through is removed when the caller comes for the next one, and so has taken what is told of it: who
 * stops early is told of a letter twice rather than never.
 *
 * @throws LeatError PIPELINE_NOT_FOUND, MODULE_NOT_FOUND, BREAKER_OPEN, STORE_UNAVAILABLE, DRAINING: letters not told of are still there
 */
export async function* replay(
  engine: Engine,
  filter: LetterFilter,
  { pipeline, limit, keep, versions }: ReplayDeadLettersRequest,
  signal: AbortSignal,
): AsyncGenerator<ReplayDeadLettersResponse, void, undefined> {
  if (pipeline !== "") engine.registry.getPipeline(pipeline);
  const given = pipeline === "" ? undefined : pipelineTarget(pipeline);
  const other = versions.length === 0 ? undefined : await otherVersions(engine, given, filter, versions);
  const left = new AbortController();
  const either = AbortSignal.any([signal, left.signal]);
  const underWay: Promise<ReplayDeadLettersResponse>[] = [];
  const removals: Promise<unknown>[] = [];
  const tellFirst = async function* (): AsyncGenerator<ReplayDeadLettersResponse, void, undefined> {
    const response = await (underWay[0] as (typeof underWay)[number]);
    underWay.shift();
    yield response;
    if (!response.removed || signal.aborted) return;
    const removal = engine.deadLetters.remove([response.id]);
    removal.catch(() => undefined);
    removals.push(removal);
    if (removals.length >= engine.limits.maxReplaysInFlight) await removals.shift();
  };
  try {
    for await (const letter of engine.deadLetters.read(filter, limit || Number.POSITIVE_INFINITY)) {
      if (signal.aborted) return;
      const run = replayOne(
        engine,
        letter,
        { target: given ?? ownTarget(letter), pipeline: other },
        keep,
        either,
      );
      // Told when its turn comes, unless the caller has gone by then.
      run.catch(() => undefined);
      underWay.push(run);
      if (underWay.length >= engine.limits.maxReplaysInFlight) yield* tellFirst();
    }
    while (underWay.length > 0) yield* tellFirst();
    await Promise.all(removals);
  } finally {
    left.abort();
    await Promise.allSettled([...underWay, ...removals]);
    other?.retire();
  }
}

/** What letters run through. */
type Through = Pick<TransformCall, "target" | "pipeline">;

/** The most versions of modules that one replay takes in place of others. */
const maxVersions = 16;

/** The one pipeline of a replay with other versions of its modules. */
async function otherVersions(
  engine: Engine,
  given: Target | undefined,
  filter: LetterFilter,
  versions: readonly string[],
): Promise<ServingPipeline> {
  const field = "versions";
  if (versions.length > maxVersions)
    throw leatError("REQUEST_INVALID", { field, problem: `${versions.length} are more than ${maxVersions}` });
  const target =
    given ?? (filter.pipeline === undefined ? undefined : ownTarget({ pipeline: filter.pipeline }));
  if (target === undefined) {
    const problem = "name the one pipeline that they are for, in `pipeline` or `filter.pipeline`";
    throw leatError("REQUEST_INVALID", { field, problem });
  }
  return engine.registry.withVersions(target, versions);
}

async function replayOne(
  engine: Engine,
  letter: KeptDeadLetter,
  through: Through,
  keep: boolean,
  signal: AbortSignal,
): Promise<ReplayDeadLettersResponse> {
  const { deadLetters } = engine;
  const { id } = letter;
  const result = await runAlone(engine, through, batchOf(letter.record), signal);
  if (result.failures.length > 0) {
    const attempts = Math.max(1, ...result.failures.map((failure) => failure.attempts));
    const there = await deadLetters.recordReplay(id, attempts);
    for (const failure of result.failures) failure.deadLetterId = there ? id : "";
  }
  return create(ReplayDeadLettersResponseSchema, {
    id,
    result,
    removed: result.failures.length === 0 && !keep,
  });
}

/** Runs one batch, and waits for room where there is none, and for a while where a breaker is open. */
async function runAlone(
  engine: Engine,
  through: Through,
  bytes: Buffer,
  signal: AbortSignal,
): Promise<TransformResult> {
  let breakerWaitMs = 0;
  for (;;) {
    try {
      return await runOnce(engine, through, bytes, signal);
    } catch (error) {
      // Why it was cancelled is told by its signal: a deadline, say.
      if (signal.aborted) throw signal.reason;
      if (!(error instanceof LeatError)) throw error;
      const waitMs = error.retryAfterMs ?? defaultWaitMs;
      if (error.reason === "BREAKER_OPEN") breakerWaitMs += Math.max(waitMs, defaultWaitMs);
      else if (!waitReasons.has(error.reason)) throw error;
      if (breakerWaitMs > maxBreakerWaitMs) throw error;
      await delay(waitMs, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }
}

async function runOnce(
  engine: Engine,
  through: Through,
  bytes: Buffer,
  signal: AbortSignal,
): Promise<TransformResult> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<TransformResult>();
  const call = {
    ...through,
    bytes,
    start: 0,
    end: bytes.length,
    traceparent: undefined,
    tracestate: undefined,
    replayed: true,
  };
  const cancel = startTransform(engine, call, (outcome) => {
    if (outcome instanceof LeatError) {
      reject(outcome);
      return;
    }
    const { bytes: shared, start, length } = outcome;
    // A copy, since the decoded message refers to its bytes.
    const copy = Buffer.from(shared.subarray(start, start + length));
    outcome.release();
    resolve(fromBinary(TransformResultSchema, copy));
  });
  signal.addEventListener("abort", cancel, { once: true });
  return promise.finally(() => signal.removeEventListener("abort", cancel));
}

/** A batch of one encoded record. */
function batchOf(record: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(1 + varintSize(record.length) + record.length);
  bytes[0] = recordsTag;
  bytes.set(record, writeVarint(bytes, 1, record.length));
  return bytes;
}

/** What a letter's record ran through, as it is now. */
function ownTarget({ pipeline }: Pick<KeptDeadLetter, "pipeline">): Target {
  if (!pipeline.startsWith(inlinePrefix)) return pipelineTarget(pipeline);
  const modules = pipeline.slice(inlinePrefix.length).split(",");
  return create(TargetSchema, { target: { case: "inline", value: { modules } } });
}

function pipelineTarget(pipeline: string): Target {
  return create(TargetSchema, { target: { case: "pipeline", value: pipeline } });
}
