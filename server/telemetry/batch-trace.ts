/**
 * The span tree of one batch, made on the main thread from the times that the worker reports:
 *
 *     leat.v1.TransformService/Transform   or   leat.batch
 *     ├─ leat.queue
 *     ├─ leat.stage normalise
 *     └─ leat.stage redact                 event leat.record.failed for each failed record
 *
 * The first span is started with the batch, because the sampler decides then; all others are
 * made when the batch is answered. A batch that is not sampled costs one call of the sampler,
 * and nothing at all where telemetry is off.
 *
 * @module
 */

import { status as grpcStatus } from "@grpc/grpc-js";
import {
  type Attributes,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from "@opentelemetry/api";
import { type Clock, systemClock } from "../clock.ts";
import { type LeatError, recordFailureCodes } from "../errors.ts";
import { defaultLimits, type Limits } from "../limits.ts";
import { attributeNames, eventNames, spanNames, stageSpanName } from "./names.ts";
import { parentContext } from "./traceparent.ts";

/** One run of one stage. Times are in milliseconds since the Unix epoch, with fractions. */
export interface StageTiming {
  /** The stage's name. */
  readonly name: string;
  /** The module's name. */
  readonly module: string;
  /** The module's version. */
  readonly version: string;
  /** The module's digest. */
  readonly digest: string;
  /** When the stage began. */
  readonly startMs: number;
  /** When it ended. */
  readonly endMs: number;
  /** Records that came in. */
  readonly recordsIn: number;
  /** Records that went out. */
  readonly recordsOut: number;
  /** Records that failed. */
  readonly recordsFailed: number;
  /** Records that passed it by, and are not among those that came in and went out. */
  readonly recordsSkipped: number;
  /** Which run of the stage this was, from 1. */
  readonly attempt: number;
  /** Whether the instance had run before. */
  readonly instanceReused: boolean;
}

/** One record that failed. */
export interface FailureTiming {
  /** The record's place in its batch, from 0. */
  readonly index: number;
  /** The stable code. */
  readonly code: string;
  /** What went wrong. */
  readonly message: string;
  /** The stage in which it failed. */
  readonly stage: string;
}

/** What happened to one batch. Times are in milliseconds since the Unix epoch, with fractions. */
export interface BatchTiming {
  /** When the batch was admitted. */
  readonly admittedMs: number;
  /** When it left the queue; for a batch that never ran, when it was answered. */
  readonly startedMs: number;
  /** When it was answered. */
  readonly endMs: number;
  /** The worker's number. */
  readonly worker: number;
  /** The runs of stages, in order. */
  readonly stages: readonly StageTiming[];
  /** The first of the records that failed. */
  readonly failures: readonly FailureTiming[];
  /** How many failed in all. */
  readonly recordsFailed: number;
  /** What the batch was answered with instead of a result. */
  readonly error?: LeatError | undefined;
}

/** The trace of one batch that is being recorded. */
export interface BatchTrace {
  /** The trace's id: 32 hex digits. */
  readonly traceId: string;
  /** The id of the batch's own span: 16 hex digits. */
  readonly spanId: string;
  /** Makes the spans and ends them. To be called once, when the batch is answered. */
  finish(timing: BatchTiming): void;
}

/** Starts the traces of batches. */
export class BatchTracer {
  readonly #tracer: Tracer | undefined;
  readonly #clock: Clock;
  readonly #limits: Pick<Limits, "maxFailureEventsPerTrace">;

  /**
   * @param tracer - makes the spans; undefined where telemetry is off
   * @param clock - says when a batch's span begins. Default: the machine's clock
   * @param limits - how many failed records get an event
   */
  constructor(
    tracer: Tracer | undefined,
    clock: Clock = systemClock,
    limits: Pick<Limits, "maxFailureEventsPerTrace"> = defaultLimits,
  ) {
    this.#tracer = tracer;
    this.#clock = clock;
    this.#limits = limits;
  }

  /** Records a breaker's transition as a span without duration. */
  breakerChanged(module: string, digest: string, from: string, to: string): void {
    this.#tracer
      ?.startSpan(spanNames.breaker, {
        attributes: {
          [attributeNames.moduleName]: module,
          [attributeNames.moduleDigest]: digest,
          [attributeNames.breakerFrom]: from,
          [attributeNames.breakerTo]: to,
        },
      })
      .end();
  }

  /**
   * Starts the trace of a batch that has just arrived.
   *
   * @param kind - whether it came as a call of its own or in a stream
   * @param pipeline - the pipeline's name
   * @param traceparent - the caller's trace context: from the stream's message or the call's metadata
   * @param tracestate - what goes with it
   * @returns undefined when nothing records the batch
   */
  start(
    kind: "unary" | "batch",
    pipeline: string,
    traceparent: string | undefined,
    tracestate?: string,
  ): BatchTrace | undefined {
    if (this.#tracer === undefined) return undefined;
    const span = this.#tracer.startSpan(
      kind === "unary" ? spanNames.transform : spanNames.batch,
      {
        kind: SpanKind.SERVER,
        startTime: this.#clock.nowMs(),
        attributes: kind === "unary" ? unaryAttributes(pipeline) : { [attributeNames.pipeline]: pipeline },
      },
      parentContext(traceparent, tracestate),
    );
    return span.isRecording()
      ? new RecordedTrace(this.#tracer, span, pipeline, this.#limits.maxFailureEventsPerTrace)
      : undefined;
  }
}

function unaryAttributes(pipeline: string): Attributes {
  const [service, method] = spanNames.transform.split("/");
  return {
    [attributeNames.pipeline]: pipeline,
    [attributeNames.rpcSystem]: "grpc",
    [attributeNames.rpcService]: service,
    [attributeNames.rpcMethod]: method,
  };
}

class RecordedTrace implements BatchTrace {
  readonly traceId: string;
  readonly spanId: string;
  readonly #tracer: Tracer;
  readonly #span: Span;
  readonly #pipeline: string;
  readonly #maxEvents: number;

  constructor(tracer: Tracer, span: Span, pipeline: string, maxEvents: number) {
    const { traceId, spanId } = span.spanContext();
    this.traceId = traceId;
    this.spanId = spanId;
    this.#tracer = tracer;
    this.#span = span;
    this.#pipeline = pipeline;
    this.#maxEvents = maxEvents;
  }

  finish(timing: BatchTiming): void {
    if (!this.#span.isRecording()) return;
    const queue = this.#child(spanNames.queue, timing.admittedMs, {
      [attributeNames.pipeline]: this.#pipeline,
    });
    queue.end(notBefore(timing.admittedMs, timing.startedMs));
    const stages = timing.stages.map((stage) => ({
      name: stage.name,
      endMs: notBefore(stage.startMs, stage.endMs),
      span: this.#child(
        stageSpanName(stage.name),
        stage.startMs,
        this.#stageAttributes(stage, timing.worker),
      ),
    }));
    this.#recordFailures(timing, stages);
    for (const { span, endMs } of stages) span.end(endMs);
    this.#endBatch(timing);
  }

  #child(name: string, startMs: number, attributes: Attributes): Span {
    const parent = trace.setSpan(ROOT_CONTEXT, this.#span);
    return this.#tracer.startSpan(name, { startTime: startMs, attributes }, parent);
  }

  #stageAttributes(stage: StageTiming, worker: number): Attributes {
    return {
      [attributeNames.pipeline]: this.#pipeline,
      [attributeNames.stage]: stage.name,
      [attributeNames.moduleName]: stage.module,
      [attributeNames.moduleVersion]: stage.version,
      [attributeNames.moduleDigest]: stage.digest,
      [attributeNames.recordsIn]: stage.recordsIn,
      [attributeNames.recordsOut]: stage.recordsOut,
      [attributeNames.recordsFailed]: stage.recordsFailed,
      ...(stage.recordsSkipped > 0 && { [attributeNames.recordsSkipped]: stage.recordsSkipped }),
      [attributeNames.attempt]: stage.attempt,
      [attributeNames.worker]: worker,
      [attributeNames.instanceReused]: stage.instanceReused,
    };
  }

  /** Puts failed records on the last run of their stage, or on the batch where no such stage ran. */
  #recordFailures(timing: BatchTiming, stages: readonly { name: string; endMs: number; span: Span }[]): void {
    for (const [place, failure] of timing.failures.entries()) {
      const stage = stages.findLast(({ name }) => name === failure.stage);
      // A module that says no to a record works; one that traps or hangs does not.
      if (stage !== undefined && Object.hasOwn(recordFailureCodes, failure.code)) {
        stage.span.setAttribute(attributeNames.errorType, failure.code);
        stage.span.setStatus({ code: SpanStatusCode.ERROR, message: failure.message });
      }
      if (place >= this.#maxEvents) continue;
      (stage?.span ?? this.#span).addEvent(
        eventNames.recordFailed,
        {
          [attributeNames.recordIndex]: failure.index,
          [attributeNames.failureCode]: failure.code,
          [attributeNames.failureMessage]: failure.message,
          [attributeNames.stage]: failure.stage,
        },
        stage?.endMs ?? timing.endMs,
      );
    }
  }

  #endBatch(timing: BatchTiming): void {
    const omitted = timing.recordsFailed - Math.min(timing.failures.length, this.#maxEvents);
    if (omitted > 0) this.#span.setAttribute(attributeNames.failuresOmitted, omitted);
    this.#span.setAttribute(attributeNames.rpcStatus, grpcStatus[timing.error?.status ?? "OK"]);
    const [first, last] = [timing.stages[0], timing.stages.at(-1)];
    if (first !== undefined && last !== undefined) {
      this.#span.setAttribute(attributeNames.worker, timing.worker);
      this.#span.setAttribute(attributeNames.recordsIn, first.recordsIn + first.recordsSkipped);
      this.#span.setAttribute(attributeNames.recordsOut, last.recordsOut + last.recordsSkipped);
      this.#span.setAttribute(attributeNames.recordsFailed, timing.recordsFailed);
    }
    if (timing.error !== undefined) {
      this.#span.setAttribute(attributeNames.errorType, timing.error.reason);
      this.#span.setStatus({ code: SpanStatusCode.ERROR, message: timing.error.message });
    }
    this.#span.end(timing.endMs);
  }
}

/** Clocks of threads differ by microseconds; a span must not end before it began. */
function notBefore(startMs: number, endMs: number): number {
  return Math.max(startMs, endMs);
}
