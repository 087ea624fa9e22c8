/**
 * Mounts the control plane's services on grpc-js.
 *
 * @module
 */

import {
  create,
  type DescMessage,
  type DescMethod,
  type DescService,
  fromBinary,
  type Message,
  toBinary,
} from "@bufbuild/protobuf";
import {
  createContextValues,
  createHandlerContext,
  type HandlerContext,
  type ServiceImpl,
} from "@connectrpc/connect";
import type {
  MethodDefinition,
  ServerReadableStream,
  ServerUnaryCall,
  ServerWritableStream,
  ServiceDefinition,
  sendUnaryData,
  UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { leatError } from "../errors.ts";
import { peerKey, principalKey, senderOf } from "./call-principal.ts";
import { controlPlane } from "./control-plane.ts";
import type { Engine } from "./engine.ts";
import type { Statuses } from "./status.ts";

/** A service for grpc-js's `addService`. */
export interface MountedService {
  readonly definition: ServiceDefinition;
  readonly implementation: UntypedServiceImplementation;
}

/** All services of the control plane. */
export function controlDefinitions(engine: Engine): MountedService[] {
  return controlPlane(engine).map(({ service, methods }) => mount(engine.statuses, service, methods));
}

/** What of a call on this door is told to its handler. */
type Caller = Pick<ServerUnaryCall<Buffer, Message>, "metadata" | "getPeer">;
type MakeContext = (signal: AbortSignal, call: Caller) => HandlerContext;
type Implementation<Answer> = (request: Message, context: HandlerContext) => Answer;
type EncodedImplementation<Answer> = (request: Uint8Array, context: HandlerContext) => Answer;

/** Mounts a service whose methods do not take and give streams at once. */
export function mount<Service extends DescService>(
  statuses: Statuses,
  service: Service,
  methods: ServiceImpl<Service>,
): MountedService {
  const definition: Record<string, MethodDefinition<Buffer, Message>> = {};
  const implementation: UntypedServiceImplementation = {};
  for (const method of service.methods) {
    definition[method.localName] = {
      path: `/${service.typeName}/${method.name}`,
      requestStream: method.methodKind === "client_streaming",
      responseStream: method.methodKind === "server_streaming",
      // Read in the handler, which can say what is wrong: grpc-js would call it an internal error.
      requestDeserialize: (bytes) => bytes,
      requestSerialize: (bytes) => bytes,
      responseSerialize: (message) => Buffer.from(toBinary(method.output, message)),
      responseDeserialize: (bytes) => fromBinary(method.output, bytes),
    };
    const context: MakeContext = (signal, call) => handlerContext(service, method, signal, call);
    const handler = methods[method.localName as keyof ServiceImpl<Service>] as unknown;
    if (method.methodKind === "unary") {
      implementation[method.localName] = unary(
        statuses,
        context,
        method.output,
        reading(method.input, handler as Implementation<unknown>),
      );
    } else if (method.methodKind === "server_streaming") {
      implementation[method.localName] = streaming(
        statuses,
        context,
        method.output,
        reading(method.input, handler as Implementation<AsyncIterable<unknown>>),
      );
    } else if (method.methodKind === "client_streaming") {
      implementation[method.localName] = gathering(
        statuses,
        context,
        method,
        handler as (requests: AsyncIterable<Message>, context: HandlerContext) => Promise<unknown>,
      );
    } else {
      throw new Error(`${method.name} streams both ways, which only the data plane does`);
    }
  }
  return { definition, implementation };
}

/** The same implementation over encoded requests. It throws LeatError REQUEST_MALFORMED for what is no such request. */
function reading<Answer>(
  input: DescMessage,
  implementation: Implementation<Answer>,
): EncodedImplementation<Answer> {
  return (bytes, context) => {
    return implementation(readRequest(input, bytes), context);
  };
}

/** @throws LeatError REQUEST_MALFORMED */
function readRequest(input: DescMessage, bytes: Uint8Array): Message {
  try {
    return fromBinary(input, bytes);
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    throw leatError("REQUEST_MALFORMED", { problem });
  }
}

function handlerContext(
  service: DescService,
  method: DescMethod,
  signal: AbortSignal,
  call: Caller,
): HandlerContext {
  return createHandlerContext({
    service,
    method,
    protocolName: "grpc",
    requestMethod: "POST",
    url: `http://localhost/${service.typeName}/${method.name}`,
    requestSignal: signal,
    contextValues: createContextValues()
      .set(principalKey, senderOf(call.metadata))
      .set(peerKey, call.getPeer()),
  });
}

function unary(
  statuses: Statuses,
  context: MakeContext,
  output: DescMessage,
  handler: EncodedImplementation<unknown>,
) {
  return (call: ServerUnaryCall<Buffer, Message>, callback: sendUnaryData<Message>): void => {
    const abort = new AbortController();
    call.on("cancelled", () => abort.abort());
    const run = async (): Promise<Message> =>
      create(output, (await handler(call.request, context(abort.signal, call))) as Message);
    run().then(
      (response) => callback(null, response),
      (error) => callback(statuses.grpc(error)),
    );
  };
}

function gathering(
  statuses: Statuses,
  context: MakeContext,
  { input, output }: DescMethod,
  handler: (requests: AsyncIterable<Message>, context: HandlerContext) => Promise<unknown>,
) {
  return (call: ServerReadableStream<Buffer, Message>, callback: sendUnaryData<Message>): void => {
    const abort = new AbortController();
    call.on("cancelled", () => abort.abort());
    const requests = async function* (): AsyncGenerator<Message, void, undefined> {
      for await (const bytes of call) yield readRequest(input, bytes as Buffer);
      // A call that was lost ends its stream as well: what came is not all.
      if (call.cancelled) throw leatError("CANCELLED");
    };
    const run = async (): Promise<Message> =>
      create(output, (await handler(requests(), context(abort.signal, call))) as Message);
    run().then(
      (response) => callback(null, response),
      (error) => callback(statuses.grpc(error)),
    );
  };
}

/** Sends a message. Resolves when it has left, which it does as its receiver reads: whoever gives the next one knows by that. */
function send(
  call: ServerWritableStream<Buffer, Message>,
  message: Message,
  signal: AbortSignal,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const abort = (): void => reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  call.write(message, () => resolve());
  return promise.finally(() => signal.removeEventListener("abort", abort));
}

function streaming(
  statuses: Statuses,
  context: MakeContext,
  output: DescMessage,
  handler: EncodedImplementation<AsyncIterable<unknown>>,
) {
  return (call: ServerWritableStream<Buffer, Message>): void => {
    const abort = new AbortController();
    call.on("cancelled", () => abort.abort());
    const { signal } = abort;
    const run = async (): Promise<void> => {
      for await (const response of handler(call.request, context(signal, call))) {
        await send(call, create(output, response as Message), signal);
      }
      call.end();
    };
    run().catch((error) => {
      if (!signal.aborted) call.emit("error", statuses.grpc(error));
    });
  };
}
