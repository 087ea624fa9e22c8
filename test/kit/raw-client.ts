/**
 * A client of plain grpc-js, so that tests see what is on the wire and can send what no SDK would.
 *
 * @module
 */

import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import {
  Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  credentials,
  Metadata,
  type ServiceError,
} from "@grpc/grpc-js";
import {
  type StreamTransformRequestSchema as RequestSchema,
  StreamTransformRequestSchema,
  type StreamTransformResponse,
  StreamTransformResponseSchema,
  TransformRequestSchema,
  TransformResponseSchema,
  type TransformResult,
} from "@leat/proto";
import { type CallFailure, callFailure } from "./call-error.ts";

const transformPath = "/leat.v1.TransformService/Transform";
const streamPath = "/leat.v1.TransformService/StreamTransform";

/** What goes with a call. */
export interface CallSettings {
  readonly timeoutMs?: number;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** A unary call that can be given up. */
export interface PendingCall<Response> {
  readonly response: Promise<Response>;
  cancel(): void;
}

/** Encodes a message. */
export function encode<Schema extends DescMessage>(schema: Schema, init: MessageInitShape<Schema>): Buffer {
  return Buffer.from(toBinary(schema, create(schema, init)));
}

/** One connection to a server. */
export class RawClient {
  readonly #client: Client;

  constructor(address: string) {
    this.#client = new Client(address, credentials.createInsecure(), {
      "grpc.max_receive_message_length": -1,
      "grpc.max_send_message_length": -1,
      // Tests of one process must not share connections.
      "grpc.use_local_subchannel_pool": 1,
      "grpc.enable_retries": 0,
    });
  }

  /** Calls any unary method with bytes. */
  call(path: string, request: Uint8Array, settings: CallSettings = {}): PendingCall<Buffer> {
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    const call = this.#client.makeUnaryRequest(
      path,
      (bytes: Uint8Array) => Buffer.from(bytes),
      (bytes: Buffer) => bytes,
      request,
      metadataOf(settings),
      optionsOf(settings),
      (error, response) => {
        if (error !== null) reject(error);
        else if (response === undefined) reject(new Error("neither error nor response"));
        else resolve(response);
      },
    );
    return { response: promise, cancel: () => call.cancel() };
  }

  /** Calls any unary method with messages. */
  async unary<In extends DescMessage, Out extends DescMessage>(
    path: string,
    input: In,
    request: MessageInitShape<In>,
    output: Out,
    settings?: CallSettings,
  ): Promise<MessageShape<Out>> {
    return fromBinary(output, await this.call(path, encode(input, request), settings).response);
  }

  /** Begins a Transform. */
  begin(
    request: MessageInitShape<typeof TransformRequestSchema>,
    settings?: CallSettings,
  ): PendingCall<TransformResult> {
    const { response, cancel } = this.call(transformPath, encode(TransformRequestSchema, request), settings);
    return { response: response.then(resultOf), cancel };
  }

  /** Transforms one batch. Rejects with grpc-js's error. */
  transform(
    request: MessageInitShape<typeof TransformRequestSchema>,
    settings?: CallSettings,
  ): Promise<TransformResult> {
    return this.begin(request, settings).response;
  }

  /** Sends any bytes as a TransformRequest. */
  async transformBytes(request: Uint8Array, settings?: CallSettings): Promise<TransformResult> {
    return resultOf(await this.call(transformPath, request, settings).response);
  }

  /** Opens a stream without sending anything. */
  stream(settings: CallSettings = {}): RawStream {
    return new RawStream(
      this.#client.makeBidiStreamRequest(
        streamPath,
        (bytes: Uint8Array) => Buffer.from(bytes),
        (bytes: Buffer) => fromBinary(StreamTransformResponseSchema, plain(bytes)),
        metadataOf(settings),
        optionsOf(settings),
      ),
    );
  }

  /** Calls a method that answers with a stream of bytes. */
  serverStream(path: string, request: Uint8Array, settings: CallSettings = {}): ClientReadableStream<Buffer> {
    return this.#client.makeServerStreamRequest(
      path,
      (bytes: Uint8Array) => Buffer.from(bytes),
      (bytes: Buffer) => bytes,
      request,
      metadataOf(settings),
    );
  }

  close(): void {
    this.#client.close();
  }
}

/** How a stream ended. */
export type StreamEnd = { readonly t: "ok" } | { readonly t: "failed"; readonly failure: CallFailure };

/** One StreamTransform. Nothing is read unless asked for. */
export class RawStream {
  /** Resolves when the stream has ended and all was read. */
  readonly ended: Promise<StreamEnd>;
  readonly #call: ClientDuplexStream<Uint8Array, StreamTransformResponse>;
  readonly #responses: AsyncIterator<StreamTransformResponse>;

  constructor(call: ClientDuplexStream<Uint8Array, StreamTransformResponse>) {
    this.#call = call;
    const { promise, resolve } = Promise.withResolvers<StreamEnd>();
    this.ended = promise;
    call.on("status", ({ code, details, metadata }) => {
      const failure = () => callFailure({ code, details, metadata, name: "", message: details });
      resolve(code === 0 ? { t: "ok" } : { t: "failed", failure: failure() });
    });
    // The same as `status` says; without a listener it would end the process.
    call.on("error", () => {});
    this.#responses = call[Symbol.asyncIterator]();
  }

  /** Sends a request. False when the transport has taken as much as it will for now. */
  write(request: MessageInitShape<typeof RequestSchema>): boolean {
    return this.writeBytes(encode(StreamTransformRequestSchema, request));
  }

  /** Sends any bytes as a request. */
  writeBytes(bytes: Uint8Array): boolean {
    return this.#call.write(bytes);
  }

  /** Messages that were written and have not gone to the transport. */
  get waitingToLeave(): number {
    return this.#call.writableLength;
  }

  /** Takes the next response; undefined at the end, however it came. */
  async next(): Promise<StreamTransformResponse["message"] | undefined> {
    try {
      const next = await this.#responses.next();
      return next.done === true ? undefined : next.value.message;
    } catch (error) {
      if ((error as Partial<ServiceError>).code !== undefined) return undefined;
      throw error;
    }
  }

  /** Takes all responses until the end. */
  async rest(): Promise<StreamTransformResponse["message"][]> {
    const all: StreamTransformResponse["message"][] = [];
    for (let next = await this.next(); next !== undefined; next = await this.next()) all.push(next);
    return all;
  }

  /** Sends no more. */
  halfClose(): void {
    this.#call.end();
  }

  /** Gives the stream up. */
  cancel(): void {
    this.#call.cancel();
  }
}

/** The same bytes as no Buffer, so that what is decoded of them compares equal to what was encoded. */
function plain(bytes: Buffer): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
}

function resultOf(bytes: Buffer): TransformResult {
  const { result } = fromBinary(TransformResponseSchema, plain(bytes));
  if (result === undefined) throw new Error("a response without a result");
  return result;
}

function metadataOf({ metadata = {} }: CallSettings): Metadata {
  const sent = new Metadata();
  for (const [name, value] of Object.entries(metadata)) sent.set(name, value);
  return sent;
}

function optionsOf({ timeoutMs }: CallSettings): { deadline?: number } {
  return timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs };
}
