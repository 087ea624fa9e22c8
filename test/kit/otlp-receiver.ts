/**
 * A real OTLP/gRPC receiver for tests: a server on a free port that keeps what is exported to it.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import {
  loadPackageDefinition,
  type Metadata,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServiceClientConstructor,
  type sendUnaryData,
} from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

/** Attributes as a flat object. */
export type ReceivedAttributes = Readonly<Record<string, string | number | boolean>>;

/** A span as it came over the wire. */
export interface ReceivedSpan {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for a span that has no parent. */
  readonly parentSpanId: string;
  /** As OTLP numbers it: 1 internal, 2 server, 3 client, 4 producer, 5 consumer. */
  readonly kind: number;
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly attributes: ReceivedAttributes;
  readonly events: readonly { readonly name: string; readonly attributes: ReceivedAttributes }[];
  /** As OTLP numbers it: 0 unset, 1 ok, 2 error. */
  readonly statusCode: number;
  readonly statusMessage: string;
  /** The attributes of the process that made it. */
  readonly resource: ReceivedAttributes;
}

/** A data point of a metric as it came over the wire. */
export interface ReceivedPoint {
  readonly metric: string;
  readonly value: number;
  readonly attributes: ReceivedAttributes;
}

/** A receiver that listens. */
export interface OtlpReceiver extends AsyncDisposable {
  /** What `OTEL_EXPORTER_OTLP_ENDPOINT` is set to. */
  readonly endpoint: string;
  /** All spans so far. */
  readonly spans: readonly ReceivedSpan[];
  /** All data points so far. */
  readonly points: readonly ReceivedPoint[];
  /** The metadata of each export. */
  readonly metadata: readonly Metadata[];
  /** Resolves as soon as the spans so far satisfy a condition. */
  waitForSpans(isEnough: (spans: readonly ReceivedSpan[]) => boolean): Promise<readonly ReceivedSpan[]>;
}

interface WireKeyValue {
  key: string;
  value: Record<string, unknown> & { value?: string };
}

interface WireSpan {
  traceId: Buffer;
  spanId: Buffer;
  parentSpanId: Buffer;
  name: string;
  kind: number;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: WireKeyValue[];
  events: { name: string; attributes: WireKeyValue[] }[];
  status: { message: string; code: number } | null;
}

interface WirePoint {
  asDouble?: number;
  asInt?: string;
  attributes: WireKeyValue[];
}

interface TracesRequest {
  resourceSpans: {
    resource: { attributes: WireKeyValue[] } | null;
    scopeSpans: { spans: WireSpan[] }[];
  }[];
}

interface MetricsRequest {
  resourceMetrics: {
    scopeMetrics: {
      metrics: { name: string; sum?: { dataPoints: WirePoint[] }; gauge?: { dataPoints: WirePoint[] } }[];
    }[];
  }[];
}

/**
 * Starts a receiver on a free port of 127.0.0.1.
 *
 * @example
 * await using receiver = await startOtlpReceiver();
 * const env = { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint };
 */
export async function startOtlpReceiver(): Promise<OtlpReceiver> {
  const spans: ReceivedSpan[] = [];
  const points: ReceivedPoint[] = [];
  const metadata: Metadata[] = [];
  const waiting = new Set<() => void>();
  const server = new Server();
  server.addService(collectorService(), {
    exportTraces(call: ServerUnaryCall<TracesRequest, object>, callback: sendUnaryData<object>) {
      metadata.push(call.metadata);
      spans.push(...readSpans(call.request));
      callback(null, {});
      for (const check of waiting) check();
    },
    exportMetrics(call: ServerUnaryCall<MetricsRequest, object>, callback: sendUnaryData<object>) {
      metadata.push(call.metadata);
      points.push(...readPoints(call.request));
      callback(null, {});
    },
  });
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) =>
    error ? reject(error) : resolve(port),
  );
  const port = await promise;
  return {
    endpoint: `http://127.0.0.1:${port}`,
    spans,
    points,
    metadata,
    waitForSpans: (isEnough) =>
      new Promise((enough) => {
        const check = () => {
          if (!isEnough(spans)) return;
          waiting.delete(check);
          enough(spans);
        };
        waiting.add(check);
        check();
      }),
    [Symbol.asyncDispose]: async () => server.forceShutdown(),
  };
}

/** The collector's methods under the names that exporters call. */
function collectorService(): ServiceClientConstructor["service"] {
  const definition = loadSync(fileURLToPath(new URL("./otlp.proto", import.meta.url)), {
    keepCase: false,
    longs: String,
    defaults: true,
    oneofs: true,
  });
  const loaded = loadPackageDefinition(definition) as unknown as {
    leat: { test: { otlp: { Collector: ServiceClientConstructor } } };
  };
  const { ExportTraces, ExportMetrics } = loaded.leat.test.otlp.Collector.service;
  if (ExportTraces === undefined || ExportMetrics === undefined)
    throw new Error("otlp.proto lacks its methods");
  const prefix = "/opentelemetry.proto.collector";
  return {
    exportTraces: { ...ExportTraces, path: `${prefix}.trace.v1.TraceService/Export` },
    exportMetrics: { ...ExportMetrics, path: `${prefix}.metrics.v1.MetricsService/Export` },
  };
}

function readSpans(request: TracesRequest): ReceivedSpan[] {
  return request.resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ spans }) =>
      spans.map((span) => ({
        name: span.name,
        traceId: span.traceId.toString("hex"),
        spanId: span.spanId.toString("hex"),
        parentSpanId: span.parentSpanId.toString("hex"),
        kind: span.kind,
        startNs: BigInt(span.startTimeUnixNano),
        endNs: BigInt(span.endTimeUnixNano),
        attributes: readAttributes(span.attributes),
        events: span.events.map(({ name, attributes }) => ({ name, attributes: readAttributes(attributes) })),
        statusCode: span.status?.code ?? 0,
        statusMessage: span.status?.message ?? "",
        resource: readAttributes(resource?.attributes ?? []),
      })),
    ),
  );
}

function readPoints(request: MetricsRequest): ReceivedPoint[] {
  return request.resourceMetrics.flatMap(({ scopeMetrics }) =>
    scopeMetrics.flatMap(({ metrics }) =>
      metrics.flatMap(
        ({ name, sum, gauge }) =>
          (sum ?? gauge)?.dataPoints.map((point) => ({
            metric: name,
            value: point.asDouble ?? Number(point.asInt),
            attributes: readAttributes(point.attributes),
          })) ?? [],
      ),
    ),
  );
}

function readAttributes(attributes: readonly WireKeyValue[]): ReceivedAttributes {
  const flat: Record<string, string | number | boolean> = {};
  for (const { key, value } of attributes) {
    // Proto-loader names the member that is set in a virtual field of the oneof's name.
    const set = value.value === undefined ? undefined : value[value.value];
    if (value.value === "intValue") flat[key] = Number(set);
    else if (typeof set === "string" || typeof set === "number" || typeof set === "boolean") flat[key] = set;
  }
  return flat;
}
