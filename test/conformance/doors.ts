/**
 * The ways into Leat, each as a function from a pipeline and a batch to a result.
 *
 * @module
 */

import { create, fromBinary, fromJson, type JsonValue, toBinary, toJson } from "@bufbuild/protobuf";
import { createClient, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import {
  type RecordBatch,
  RecordBatchSchema,
  TransformRequestSchema,
  TransformResponseSchema,
  type TransformResult,
  TransformResultSchema,
  TransformService,
} from "@leat/proto";
import { EncodedBatch, Leat } from "@leat/sdk";
import { pipelineTarget } from "../kit/records.ts";
import type { TestServer } from "../kit/test-server.ts";

/** Runs one batch through a stored pipeline. */
export type Door = (pipeline: string, batch: RecordBatch) => Promise<TransformResult>;

/** All doors of a server that listens for HTTP, too. */
export function doorsOf(kit: TestServer): Readonly<Record<string, Door>> {
  const connect = (transport: Transport) => ({ unary: unary(transport), stream: stream(transport) });
  const { url: baseUrl } = kit;
  const http1 = connect(createConnectTransport({ baseUrl, httpVersion: "1.1" }));
  const http2 = connect(createConnectTransport({ baseUrl, httpVersion: "2" }));
  const json = connect(createConnectTransport({ baseUrl, httpVersion: "2", useBinaryFormat: false }));
  const web = connect(createGrpcWebTransport({ baseUrl, httpVersion: "1.1" }));
  const grpcOverHttp = connect(createGrpcTransport({ baseUrl }));
  const grpc = connect(createGrpcTransport({ baseUrl: `http://${kit.address}` }));
  return {
    "grpc-js, unary": (pipeline, batch) => kit.raw.transform({ target: pipelineTarget(pipeline), batch }),
    "grpc-js, stream": (pipeline, batch) => rawStream(kit, pipeline, batch),
    "the SDK, unary": async (pipeline, batch) => sdkResult(await kit.leat.transform(pipeline, batch.records)),
    "the SDK with gzip": async (pipeline, batch) => {
      await using leat = new Leat({ address: kit.address, compression: "gzip", compressMinBytes: 0 });
      return sdkResult(await leat.transform(pipeline, batch.records));
    },
    "the SDK, stream": (pipeline, batch) => sdkStream(kit, pipeline, batch),
    "a browser's fetch with JSON": (pipeline, batch) => jsonFetch(kit, pipeline, batch),
    "Connect over HTTP/1.1": http1.unary,
    "Connect over HTTP/2": http2.unary,
    "Connect over HTTP/2, stream": http2.stream,
    "Connect over HTTP/2 in JSON, stream": json.stream,
    "gRPC-Web over HTTP/1.1": web.unary,
    "gRPC at the HTTP port": grpcOverHttp.unary,
    "gRPC at the HTTP port, stream": grpcOverHttp.stream,
    "Connect's gRPC client": grpc.unary,
    "Connect's gRPC client, stream": grpc.stream,
  };
}

function unary(transport: Transport): Door {
  const client = createClient(TransformService, transport);
  return async (pipeline, batch) => {
    const { result } = await client.transform({ target: pipelineTarget(pipeline), batch });
    if (result === undefined) throw new Error("a response without a result");
    return result;
  };
}

function stream(transport: Transport): Door {
  const client = createClient(TransformService, transport);
  return async (pipeline, batch) => {
    async function* requests() {
      yield { message: { case: "open" as const, value: { target: pipelineTarget(pipeline) } } };
      yield { message: { case: "batch" as const, value: { sequence: 1n, batch } } };
    }
    const results: TransformResult[] = [];
    for await (const { message } of client.streamTransform(requests())) {
      if (message.case === "result" && message.value.outcome.case === "result")
        results.push(message.value.outcome.value);
    }
    const [result] = results;
    if (result === undefined || results.length > 1) throw new Error(`${results.length} results`);
    return result;
  };
}

async function rawStream(kit: TestServer, pipeline: string, batch: RecordBatch): Promise<TransformResult> {
  const raw = kit.raw.stream();
  raw.write({ message: { case: "open", value: { target: pipelineTarget(pipeline) } } });
  raw.write({ message: { case: "batch", value: { sequence: 1n, batch } } });
  raw.halfClose();
  const [, answer] = await raw.rest();
  if (answer?.case !== "result" || answer.value.outcome.case !== "result") throw new Error("no result");
  return answer.value.outcome.value;
}

async function sdkStream(kit: TestServer, pipeline: string, batch: RecordBatch): Promise<TransformResult> {
  // An encoded batch is sent even when it has no records.
  const source = [new EncodedBatch(toBinary(RecordBatchSchema, batch), batch.records.length)];
  for await (const result of kit.leat.stream(pipeline, source)) return sdkResult(result);
  throw new Error("no result");
}

function sdkResult({
  error,
  bytes,
}: {
  readonly error: unknown;
  readonly bytes: Uint8Array;
}): TransformResult {
  if (error !== undefined) throw error;
  return fromBinary(TransformResultSchema, Uint8Array.from(bytes));
}

async function jsonFetch(kit: TestServer, pipeline: string, batch: RecordBatch): Promise<TransformResult> {
  const request = create(TransformRequestSchema, { target: pipelineTarget(pipeline), batch });
  const response = await fetch(`${kit.url}/leat.v1.TransformService/Transform`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(toJson(TransformRequestSchema, request)),
  });
  const { result } = fromJson(TransformResponseSchema, (await response.json()) as JsonValue);
  if (result === undefined) throw new Error("a response without a result");
  return result;
}
