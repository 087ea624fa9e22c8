import type { DescMessage, DescMethodStreaming, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import type { StreamResponse } from "@connectrpc/connect";
import { ConnectError } from "@connectrpc/connect";
import type { Metadata, StatusObject } from "@grpc/grpc-js";
import { status as grpcStatus } from "@grpc/grpc-js";
import type { ByteCall, CallRequest, CallSettings } from "./call.ts";
import { cancelCall, cancelOnAbort, createCall, deserialize, serialize, writeFlags } from "./call.ts";
import { toHeaders } from "./headers.ts";
import { errorFromAbort, errorFromStatus } from "./status.ts";

interface Reader<T> {
  readonly resolve: (result: IteratorResult<T, undefined>) => void;
  readonly reject: (error: unknown) => void;
}

/** How a call ended. */
type End =
  | { readonly t: "ok"; readonly trailer: Metadata }
  | { readonly t: "error"; readonly error: ConnectError };

/**
 * One streaming call. Messages are read from the wire one by one, each when the consumer asks for it,
 * so that HTTP/2 flow control reaches from a slow consumer to the server; they are written one by one,
 * each when the last one has left, so that it reaches from the server to the input as well.
 */
class StreamingCall<I extends DescMessage, O extends DescMessage> {
  readonly #settings: CallSettings;
  readonly #method: DescMethodStreaming<I, O>;
  readonly #call: ByteCall;
  readonly #input: AsyncIterator<MessageInitShape<I>>;
  readonly #signal: AbortSignal | undefined;
  readonly #stopListening: () => void;
  readonly #readers: Reader<MessageShape<O>>[] = [];
  readonly #received: Uint8Array[] = [];
  readonly #send = (): void => this.#pullInput();
  #header: Metadata | undefined;
  #failure: ConnectError | undefined;
  #end: End | undefined;
  #inputDone = false;

  constructor(
    settings: CallSettings,
    method: DescMethodStreaming<I, O>,
    input: AsyncIterable<MessageInitShape<I>>,
    request: CallRequest,
  ) {
    this.#settings = settings;
    this.#method = method;
    this.#signal = request.signal;
    this.#input = input[Symbol.asyncIterator]();
    this.#call = createCall(settings, method, request);
    this.#stopListening = cancelOnAbort(this.#call, request.signal);
  }

  /** Starts the call; resolves when the response's headers have come, rejects when the call fails before. */
  start(metadata: Metadata): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#call.start(metadata, {
        onReceiveMetadata: (header) => {
          this.#header = header;
          resolve();
        },
        onReceiveMessage: (bytes: Uint8Array) => this.#onMessage(bytes),
        onReceiveStatus: (status) => {
          this.#onStatus(status);
          if (this.#end?.t === "error") reject(this.#end.error);
          else resolve();
        },
      });
      this.#pullInput();
    });
  }

  get header(): Headers {
    return toHeaders(this.#header);
  }

  get trailer(): Headers {
    return toHeaders(this.#end?.t === "ok" ? this.#end.trailer : undefined);
  }

  next(): Promise<IteratorResult<MessageShape<O>, undefined>> {
    return new Promise((resolve, reject) => {
      const reader = { resolve, reject };
      const bytes = this.#received.shift();
      if (bytes !== undefined) return this.#deliver(bytes, reader);
      if (this.#end) return settle(this.#end, reader);
      this.#readers.push(reader);
      if (this.#readers.length === 1) this.#call.startRead();
    });
  }

  /** Ends the call early; what has not been read is lost. */
  cancel(error?: ConnectError): void {
    this.#failure ??= error;
    if (!this.#end) cancelCall(this.#call, "cancelled by the consumer");
  }

  #pullInput(): void {
    if (this.#end || this.#inputDone) return;
    this.#input.next().then(
      (item) => {
        if (this.#end || this.#inputDone) return;
        if (item.done) {
          this.#inputDone = true;
          this.#call.halfClose();
          return;
        }
        this.#write(item.value);
      },
      (error: unknown) => {
        this.#inputDone = true;
        this.cancel(ConnectError.from(error));
      },
    );
  }

  #write(init: MessageInitShape<I>): void {
    let bytes: Buffer;
    try {
      bytes = serialize(this.#method.input, create(this.#method.input, init));
    } catch (error) {
      this.cancel(ConnectError.from(error));
      return;
    }
    const context = writeFlags(this.#settings, bytes.length);
    this.#call.sendMessageWithContext({ ...context, callback: this.#send }, bytes);
  }

  #onMessage(bytes: Uint8Array): void {
    const reader = this.#readers.shift();
    if (reader === undefined) {
      this.#received.push(bytes);
      return;
    }
    if (this.#readers.length > 0) this.#call.startRead();
    this.#deliver(bytes, reader);
  }

  #deliver(bytes: Uint8Array, reader: Reader<MessageShape<O>>): void {
    try {
      reader.resolve({ done: false, value: deserialize(this.#method.output, bytes) });
    } catch (error) {
      reader.reject(error);
      this.cancel(ConnectError.from(error));
    }
  }

  #onStatus(status: StatusObject): void {
    if (this.#end) return;
    this.#stopListening();
    this.#end = this.#endFrom(status);
    for (const reader of this.#readers.splice(0)) settle(this.#end, reader);
    if (!this.#inputDone) {
      this.#inputDone = true;
      // Lets a generator run its finally blocks; the call has its outcome, whatever they do.
      Promise.resolve(this.#input.return?.()).catch(() => {});
    }
  }

  #endFrom(status: StatusObject): End {
    if (this.#failure) return { t: "error", error: this.#failure };
    if (status.code === grpcStatus.OK) return { t: "ok", trailer: status.metadata };
    if (this.#signal?.aborted && status.code === grpcStatus.CANCELLED) {
      return { t: "error", error: errorFromAbort(this.#signal) };
    }
    return { t: "error", error: errorFromStatus(status, this.#header) };
  }
}

function settle<T>(end: End, reader: Reader<T>): void {
  if (end.t === "ok") reader.resolve({ done: true, value: undefined });
  else reader.reject(end.error);
}

/**
 * Makes one streaming call.
 *
 * @returns the response, once its headers have come
 * @throws ConnectError when the call fails before; later failures come from the messages' iterator
 * @internal
 */
export async function callStreaming<I extends DescMessage, O extends DescMessage>(
  settings: CallSettings,
  method: DescMethodStreaming<I, O>,
  input: AsyncIterable<MessageInitShape<I>>,
  request: CallRequest,
): Promise<StreamResponse<I, O>> {
  if (request.signal?.aborted) throw errorFromAbort(request.signal);
  const call = new StreamingCall(settings, method, input, request);
  await call.start(request.metadata);
  const iterator: AsyncIterator<MessageShape<O>, undefined> = {
    next: () => call.next(),
    return() {
      call.cancel();
      return Promise.resolve({ done: true, value: undefined });
    },
  };
  return {
    stream: true,
    service: method.parent,
    method,
    get header() {
      return call.header;
    },
    get trailer() {
      return call.trailer;
    },
    message: { [Symbol.asyncIterator]: () => iterator },
  };
}
