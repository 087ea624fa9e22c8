import type { Attributes, Context, Link, Span } from "@opentelemetry/api";
import { context, isSpanContextValid, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import type { LeatCallError } from "./errors.ts";

/*
 * Every span that the SDK makes. Only the API package is used: without a registered tracer provider
 * spans record nothing, and no trace context is written.
 */

/** The attributes that the SDK sets on its spans. */
export const attributes = {
  system: "rpc.system",
  service: "rpc.service",
  method: "rpc.method",
  target: "leat.pipeline",
  streamId: "leat.stream.id",
  sequence: "leat.stream.sequence",
  recordsIn: "leat.records.in",
  batchBytes: "leat.batch.bytes",
  attempts: "leat.batch.attempts",
  errorType: "error.type",
} as const;

const service = "leat.v1.TransformService";
const maxLinks = 128;

function tracer(): ReturnType<typeof trace.getTracer> {
  // Asked for anew each time: a provider may be registered after this module was loaded.
  return trace.getTracer("@leat/sdk", "0.1.0");
}

/** Starts the span of one unary call. */
export function startTransformSpan(target: string, recordsIn: number, batchBytes: number): Span {
  return tracer().startSpan(`${service}/Transform`, {
    kind: SpanKind.CLIENT,
    attributes: {
      [attributes.system]: "grpc",
      [attributes.service]: service,
      [attributes.method]: "Transform",
      [attributes.target]: target,
      [attributes.recordsIn]: recordsIn,
      [attributes.batchBytes]: batchBytes,
    },
  });
}

/**
 * Starts the span of one batch of a stream; it ends when the batch is answered.
 *
 * @param parent - the context in which the stream was made
 * @param links - the spans whose records share the batch
 */
export function startBatchSpan(parent: Context, links: Link[] | undefined, of: Attributes): Span {
  const options = { kind: SpanKind.PRODUCER, attributes: of, ...(links && { links }) };
  return tracer().startSpan("leat.stream_batch", options, parent);
}

/** The `traceparent` of a span; empty, and free, when no trace is going on. */
export function traceparent(span: Span): string {
  const { traceId, spanId, traceFlags } = span.spanContext();
  if (!isSpanContextValid({ traceId, spanId, traceFlags })) return "";
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, "0")}`;
}

/** The headers that carry a span's trace context; undefined when no trace is going on. */
export function traceHeaders(span: Span): Record<string, string> | undefined {
  const parent = traceparent(span);
  if (parent === "") return undefined;
  const state = span.spanContext().traceState?.serialize();
  return state ? { traceparent: parent, tracestate: state } : { traceparent: parent };
}

/** Ends a span, with the error if there is one. */
export function endSpan(span: Span, error?: LeatCallError): void {
  if (error && span.isRecording()) {
    span.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
    if (error.reason) span.setAttribute(attributes.errorType, error.reason);
  }
  span.end();
}

/** Adds a link to the span that is active, if there is one and room for it. */
export function linkActiveSpan(links: Link[] | undefined): Link[] | undefined {
  const active = trace.getSpan(context.active())?.spanContext();
  if (active === undefined || !isSpanContextValid(active)) return links;
  if (links === undefined) return [{ context: active }];
  if (links.length < maxLinks) links.push({ context: active });
  return links;
}
