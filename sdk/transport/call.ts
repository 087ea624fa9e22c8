import type { DescMessage, DescMethod, MessageShape } from "@bufbuild/protobuf";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { ChannelInterface, Metadata } from "@grpc/grpc-js";
import { status as grpcStatus } from "@grpc/grpc-js";

import { PreEncoded } from "../wire/pre-encoded.ts";
import type { Authorise } from "./token.ts";

/** One call on a grpc-js channel, in bytes: below its client classes and their Node streams. */
export type ByteCall = ReturnType<ChannelInterface["createCall"]>;

/** What every call of a transport needs. */
export interface CallSettings {
  /** Picks the channel of the next call. */
  readonly pickChannel: () => ChannelInterface;
  /** Smaller messages go uncompressed; `Infinity` when nothing is compressed. */
  readonly compressMinBytes: number;
  /** Adds the caller's credentials to what a call sends. */
  readonly authorise?: Authorise | undefined;
}

/** What one call is made with. */
export interface CallRequest {
  readonly metadata: Metadata;
  /** When the call is to end, at the latest. */
  readonly deadline: Date | undefined;
  readonly signal: AbortSignal | undefined;
}

/** Write flag of grpc-js: send this message uncompressed. Its enum is not exported. */
const noCompress = 2;

/** The path under which gRPC knows a method. */
export function methodPath(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

/** Makes a call on the next channel. It sends nothing before `start`. */
export function createCall(settings: CallSettings, method: DescMethod, request: CallRequest): ByteCall {
  const deadline = request.deadline ?? Number.POSITIVE_INFINITY;
  return settings.pickChannel().createCall(methodPath(method), deadline, undefined, null, undefined);
}

/** Encodes a message once, into the buffer that is sent. */
export function serialize<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): Buffer {
  if (message instanceof PreEncoded) return message.bytes;
  const bytes = toBinary(schema, message);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/**
 * Decodes a message once. Its `bytes` fields are views into `bytes`, plain `Uint8Array`s.
 *
 * @throws ConnectError with INTERNAL for bytes that are no such message
 */
export function deserialize<Desc extends DescMessage>(schema: Desc, bytes: Uint8Array): MessageShape<Desc> {
  try {
    return fromBinary(schema, new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    throw new ConnectError(
      `cannot decode ${schema.typeName}: ${problem}`,
      Code.Internal,
      undefined,
      undefined,
      error,
    );
  }
}

/** The write flags for a message of that size. */
export function writeFlags(settings: CallSettings, sizeBytes: number): { flags?: number } {
  return sizeBytes < settings.compressMinBytes ? { flags: noCompress } : {};
}

/**
 * Cancels a call, and makes sure that the server hears of it.
 *
 * grpc-js runs a call's metadata through its filters in promises, and does not ask afterwards whether the call was cancelled meanwhile: the call then goes out,
 * with nobody here to end it, and runs on the server until its deadline. It is there once the microtasks of this turn have run, so it is cancelled once more then.
 */
export function cancelCall(call: ByteCall, details: string): void {
  call.cancelWithStatus(grpcStatus.CANCELLED, details);
  setImmediate(() => call.cancelWithStatus(grpcStatus.CANCELLED, details));
}

/**
 * Cancels the call when the signal aborts.
 *
 * @returns a function that stops listening
 */
export function cancelOnAbort(call: ByteCall, signal: AbortSignal | undefined): () => void {
  if (signal === undefined) return ignore;
  const cancel = (): void => cancelCall(call, "cancelled by the caller");
  signal.addEventListener("abort", cancel, { once: true });
  return () => signal.removeEventListener("abort", cancel);
}

function ignore(): void {}
