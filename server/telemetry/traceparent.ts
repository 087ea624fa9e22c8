/**
 * Reads the W3C trace context that callers send. Source: W3C Trace Context, Level 1, section 3.
 *
 * @module
 */

import { type Context, createTraceState, isSpanContextValid, ROOT_CONTEXT, trace } from "@opentelemetry/api";

const traceparentPattern = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/**
 * The context of which a new span becomes a child. A `traceparent` that is missing or
 * malformed starts a new trace, as the specification demands; it is no error.
 */
export function parentContext(traceparent: string | undefined, tracestate?: string): Context {
  const parts = traceparent ? traceparentPattern.exec(traceparent) : null;
  if (parts === null) return ROOT_CONTEXT;
  const [, version, traceId = "", spanId = "", flags = "", more] = parts;
  // Version 00 has four fields; later versions may add some, and ff is forbidden.
  if (version === "ff" || (version === "00" && more !== undefined)) return ROOT_CONTEXT;
  const spanContext = { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & 1, isRemote: true };
  if (!isSpanContextValid(spanContext)) return ROOT_CONTEXT;
  return trace.setSpanContext(
    ROOT_CONTEXT,
    tracestate ? { ...spanContext, traceState: createTraceState(tracestate) } : spanContext,
  );
}
