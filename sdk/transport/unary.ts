import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import type { UnaryResponse } from "@connectrpc/connect";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Metadata } from "@grpc/grpc-js";
import { status as grpcStatus } from "@grpc/grpc-js";
import type { ByteCall, CallRequest, CallSettings } from "./call.ts";
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
export async function callUnary<I extends DescMessage, O extends DescMessage>(
  settings: CallSettings,
  method: DescMethodUnary<I, O>,
  init: MessageInitShape<I>,
  request: CallRequest,
): Promise<UnaryResponse<I, O>> {
  if (request.signal?.aborted) throw errorFromAbort(request.signal);
  let bytes: Buffer;
  try {
    bytes = serialize(method.input, create(method.input, init));
  } catch (error) {
    throw ConnectError.from(error, Code.Internal);
  }
  const call = createCall(settings, method, request);
  const { header, message, trailer } = await exchange(
    call,
    request,
    bytes,
    writeFlags(settings, bytes.length),
  );
  return new GrpcUnaryResponse(method, deserialize(method.output, message), header, trailer);
}

interface Answer {
  readonly header: Metadata | undefined;
  readonly message: Uint8Array;
  readonly trailer: Metadata;
}

/** Sends the one message, and waits for the one answer and the status. */
function exchange(
  call: ByteCall,
  { metadata, signal }: CallRequest,
  bytes: Buffer,
  context: { flags?: number },
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const stopListening = cancelOnAbort(call, signal);
    let header: Metadata | undefined;
    let message: Uint8Array | undefined;
    call.start(metadata, {
      onReceiveMetadata(received) {
        header = received;
      },
      onReceiveMessage(received: Uint8Array) {
        if (message !== undefined) {
          call.cancelWithStatus(grpcStatus.UNIMPLEMENTED, "the server sent more than one message");
          return;
        }
        message = received;
        // A second read, so that a second message shows instead of holding up the status.
        call.startRead();
      },
      onReceiveStatus(status) {
        stopListening();
        if (signal?.aborted && status.code === grpcStatus.CANCELLED) reject(errorFromAbort(signal));
        else if (status.code !== grpcStatus.OK) reject(errorFromStatus(status, header));
        else if (message) resolve({ header, message, trailer: status.metadata });
        else reject(new ConnectError("the server sent no message", Code.Unimplemented));
      },
    });
    call.startRead();
    call.sendMessageWithContext(context, bytes);
    call.halfClose();
  });
}
