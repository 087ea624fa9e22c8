/**
 * One batch, traced from the SDK's call into the worker and back.
 *
 * @module
 */

import { json, type Leat } from "@leat/sdk";
import { context, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-grpc";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { SimpleSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import type { OtlpReceiver, ReceivedSpan } from "../kit/otlp-receiver.ts";
import type { Movie } from "./movies.ts";
import { pipelineName } from "./pipeline.ts";

/** The spans that a traced batch has: the producer's own, the SDK's, and the server's. */
const expectedSpans = 7;

/** Sends one batch under a span of this process, and draws the tree that the receiver has got. */
export async function traceOneBatch(
  leat: Leat,
  receiver: OtlpReceiver,
  movies: readonly Movie[],
): Promise<string> {
  const bad = movies.findIndex((movie) => movie["US Gross"] === null);
  const batch = movies.slice(Math.max(0, bad - 50), bad + 50);
  const provider = new TracerProvider({
    resource: resourceFromAttributes({ "service.name": "producer" }),
    spanProcessors: [
      new SimpleSpanProcessor({ exporter: new OTLPTraceExporter({ url: receiver.endpoint }) }),
    ],
  });
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  trace.setGlobalTracerProvider(provider);
  try {
    await provider.getTracer("demo").startActiveSpan("send films", async (span) => {
      for await (const result of leat.stream(pipelineName, [batch], { codec: json<Movie>() })) {
        if (result.error) throw result.error;
      }
      span.end();
    });
    await provider.forceFlush();
    const spans = await receiver.waitForSpans(({ length }) => length >= expectedSpans);
    return drawTree(spans).join("\n");
  } finally {
    await provider.shutdown();
    trace.disable();
    context.disable();
  }
}

/** The spans as an indented tree: each with its process, when it began, how long it took, and what it says of records. */
function drawTree(spans: readonly ReceivedSpan[]): string[] {
  const known = new Set(spans.map(({ spanId }) => spanId));
  const first = spans.reduce(
    (least, { startNs }) => (startNs < least ? startNs : least),
    spans[0]?.startNs ?? 0n,
  );
  const below = (parent: ReceivedSpan | undefined): ReceivedSpan[] =>
    spans
      .filter(({ parentSpanId }) => (parent ? parentSpanId === parent.spanId : !known.has(parentSpanId)))
      .toSorted((a, b) => Number(a.startNs - b.startNs));
  const draw = (span: ReceivedSpan, indent: string, branch: string): string[] => {
    const children = below(span);
    const name = `${indent}${branch}${span.name}`;
    const atMs = Number(span.startNs - first) / 1e6;
    const tookMs = Number(span.endNs - span.startNs) / 1e6;
    const line = `${name.padEnd(36)} ${String(span.resource["service.name"]).padEnd(9)} at ${atMs.toFixed(2).padStart(6)} ms  took ${tookMs.toFixed(2).padStart(6)} ms${recordsOf(span)}`;
    const deeper = `${indent}${branch === "" ? "" : branch === "└─ " ? "   " : "│  "}`;
    const events = span.events.map(
      ({ name: event, attributes }) =>
        `${deeper}   ! ${event}: record ${attributes["leat.record.index"]}, ${attributes["leat.failure.code"]}: ${attributes["leat.failure.message"]}`,
    );
    return [
      line,
      ...events,
      ...children.flatMap((child, place) =>
        draw(child, deeper, place === children.length - 1 ? "└─ " : "├─ "),
      ),
    ];
  };
  const [trace = ""] = spans.map(({ traceId }) => traceId);
  return [`trace ${trace}`, ...below(undefined).flatMap((span) => draw(span, "", ""))];
}

function recordsOf({ attributes }: ReceivedSpan): string {
  const { "leat.records.in": into, "leat.records.out": out, "leat.records.failed": failed } = attributes;
  if (into === undefined) return "";
  return `  ${into} in${out === undefined ? "" : `, ${out} out`}${failed ? `, ${failed} failed` : ""}`;
}
