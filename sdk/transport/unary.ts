import type { DescMessage, DescMethodUnary, MessageShape } from "@bufbuild/protobuf";
import type { UnaryResponse } from "@connectrpc/connect";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Metadata, StatusObject } from "@grpc/grpc-js";
import { status as grpcStatus } from "@grpc/grpc-js";
import type { CallRequest, CallSettings } from "./call.ts";
import { cancelOnAbort, createCall, deserialize, serialize, writeFlags } from "./call.ts";
import { toHeaders } from "./headers.ts";
import { errorFromAbort, errorFromStatus } from "./status.ts";

/** A response whose headers and trailers are built only when somebody looks at them. */
class GrpcUnaryResponse<I extends DescMessage, O extends DescMessage> implements UnaryResponse<I, O> {
  readonly stream = false;
  readonly method: DescMethodUnary<I, O>;
  readonly message: MessageShape<O>;
  readonly #headerMetadata: Metadata | undefined;
  readonly #trailerMetadata: Metadata;
  #header: Headers | undefined;
  #trailer: Headers | undefined;

  constructor(
    method: DescMethodUnary<I, O>,
    message: MessageShape<O>,
    header: Metadata | undefined,
    trailer: Metadata,
  ) {
    this.method = method;
    this.message = message;
    this.#headerMetadata = header;
    this.#trailerMetadata = trailer;
  }

  get service(): DescMethodUnary<I, O>["parent"] {
    return this.method.parent;
  }

  get header(): Headers {
    this.#header ??= toHeaders(this.#headerMetadata);
    return this.#header;
  }

  get trailer(): Headers {
    this.#trailer ??= toHeaders(this.#trailerMetadata);
    return this.#trailer;
  }
}

/**
 * Makes one unary call.
 *
 * @throws ConnectError for every way in which it can fail
 * @internal
 */
export function callUnary<I extends DescMessage, O extends DescMessage>(
  settings: CallSettings,
  method: DescMethodUnary<I, O>,
  message: MessageShape<I>,
  request: CallRequest,
): Promise<UnaryResponse<I, O>> {
  return new Promise((resolve, reject) => {
    const { signal } = request;
    if (signal?.aborted) return reject(errorFromAbort(signal));
    const bytes = serialize(method.input, message);
    const call = createCall(settings, method, request);
    const stopListening = cancelOnAbort(call, signal);
    let header: Metadata | undefined;
    let response: Uint8Array | undefined;
    const outcome = (status: StatusObject): UnaryResponse<I, O> => {
      if (signal?.aborted && status.code === grpcStatus.CANCELLED) throw errorFromAbort(signal);
      if (status.code !== grpcStatus.OK) throw errorFromStatus(status, header);
      if (response === undefined) throw new ConnectError("the server sent no message", Code.Unimplemented);
      return new GrpcUnaryResponse(method, deserialize(method.output, response), header, status.metadata);
    };
    call.start(request.metadata, {
      onReceiveMetadata(metadata) {
        header = metadata;
      },
      onReceiveMessage(bytes: Uint8Array) {
        if (response !== undefined) {
          call.cancelWithStatus(grpcStatus.UNIMPLEMENTED, "the server sent more than one message");
          return;
        }
        response = bytes;
        // A second read, so that a second message shows instead of holding up the status.
        call.startRead();
      },
      onReceiveStatus(status) {
        stopListening();
        try {
          resolve(outcome(status));
        } catch (error) {
          reject(error);
        }
      },
    });
    call.startRead();
    call.sendMessageWithContext(writeFlags(settings, bytes.length), bytes);
    call.halfClose();
  });
}
