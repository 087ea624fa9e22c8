/**
 * Spans kept in memory, and the trees that they form.
 *
 * @module
 */

import type { Tracer } from "@opentelemetry/api";
import {
  AlwaysOnSampler,
  InMemorySpanExporter,
  ParentBasedSampler,
  type ReadableSpan,
  SimpleSpanProcessor,
  TracerProvider,
} from "@opentelemetry/sdk-trace";

/** Keeps the spans that its tracer made. */
export class SpanKeeper {
  readonly tracer: Tracer;
  readonly provider: TracerProvider;
  readonly #exporter = new InMemorySpanExporter();

  constructor() {
    this.provider = new TracerProvider({
      sampler: new ParentBasedSampler({ root: new AlwaysOnSampler() }),
      spanProcessors: [new SimpleSpanProcessor({ exporter: this.#exporter })],
    });
    this.tracer = this.provider.getTracer("test");
  }

  /** The spans that have ended. */
  get spans(): readonly ReadableSpan[] {
    return this.#exporter.getFinishedSpans();
  }

  /** Forgets them. */
  reset(): void {
    this.#exporter.reset();
  }

  /** The spans that have ended as indented names, children in the order of their start. */
  tree(): string[] {
    return this.#under(undefined, 0);
  }

  #under(parent: ReadableSpan | undefined, depth: number): string[] {
    const known = new Set(this.spans.map((span) => span.spanContext().spanId));
    return this.spans
      .filter((span) => {
        const above = span.parentSpanContext?.spanId;
        return parent === undefined
          ? above === undefined || !known.has(above)
          : above === parent.spanContext().spanId;
      })
      .toSorted((a, b) => a.startTime[0] - b.startTime[0] || a.startTime[1] - b.startTime[1])
      .flatMap((span) => [`${"  ".repeat(depth)}${span.name}`, ...this.#under(span, depth + 1)]);
  }
}
