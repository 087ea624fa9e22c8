/**
 * The typed client for Leat, a gRPC service that runs sandboxed WebAssembly transforms over records.
 *
 * @example
 * import { Leat, text } from "@leat/sdk";
 *
 * await using leat = new Leat(process.env.LEAT_ADDRESS ?? "127.0.0.1:7070");
 * for await (const result of leat.stream("uppercase", ["a", "b", "c"], { codec: text() })) {
 *   console.log(result.outputs);
 * }
 *
 * @module
 */

export { Code, ConnectError } from "@connectrpc/connect";
// The protocol itself: generated messages, schemas and services.
export * from "@leat/proto";
export type { Batcher, BatcherCallOptions, BatcherOptions } from "./batcher.ts";
export { createLeatClients, type LeatClients } from "./clients.ts";
export { type FieldViolation, LeatCallError } from "./errors.ts";
export { Leat } from "./leat.ts";
export type { CodecOption, LeatOptions, TransformOptions } from "./leat-options.ts";
export { EncodeError, encodeBatch } from "./record/batch.ts";
export { bytes, type Codec, type Item, json, optional, pair, protobuf, text } from "./record/codec.ts";
export { EncodedBatch } from "./record/encoded-batch.ts";
export type { FailureInfo } from "./record/reader.ts";
export {
  type HeaderInput,
  type OutputRecord,
  type RecordHeader,
  type RecordInput,
  type RecordMeta,
  type RecordOf,
  record,
} from "./record/record.ts";
export type { BatchResult, Outcome } from "./record/result.ts";
export type { Chunk, StreamSource } from "./stream/iterable-source.ts";
export type { BatchingOptions, ReconnectOptions, StreamOptions } from "./stream/options.ts";
export type { ResultStream } from "./stream/result-stream.ts";
export { type FailureOption, RecordFailedError } from "./stream/transform-stream.ts";
export type { TargetInput } from "./target.ts";
export { createGrpcTransport, defaultAddress, type GrpcTransport } from "./transport/grpc-transport.ts";
export type {
  GrpcTransportOptions,
  KeepaliveOptions,
  LoadBalancing,
  RetryBudgetOptions,
  RetryOptions,
  TlsOptions,
  TokenSource,
} from "./transport/options.ts";
