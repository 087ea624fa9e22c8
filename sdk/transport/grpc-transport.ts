import type {
  DescMessage,
  DescMethod,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import type { Transport, UnaryResponse } from "@connectrpc/connect";
import { createContextValues } from "@connectrpc/connect";
import { runStreamingCall, runUnaryCall } from "@connectrpc/connect/protocol";
import { longestTimerMs } from "../stream/options.ts";
import { resolveAddresses } from "./address.ts";
import type { CallRequest, CallSettings } from "./call.ts";
import { methodPath } from "./call.ts";
import { ChannelSet } from "./channel-set.ts";
import type { HeadersInput } from "./headers.ts";
import { toMetadata } from "./headers.ts";
import type { GrpcTransportOptions } from "./options.ts";
import { channelCredentials, channelOptions, retryPolicy } from "./options.ts";
import { Retrier } from "./retry.ts";
import { callStreaming } from "./streaming.ts";
import { authoriser } from "./token.ts";
import { callUnary } from "./unary.ts";

/**
 * Where a transport connects to when nothing else is said: the server's own default.
 *
 * @example
 * import { defaultAddress } from "@leat/sdk";
 *
 * console.log(`a server on this machine answers at ${defaultAddress}`);
 */
export const defaultAddress = "127.0.0.1:7070";

/**
 * A Connect transport over grpc-js, with the connections that it holds.
 *
 * @example
 * import { createGrpcTransport } from "@leat/sdk";
 *
 * using transport = createGrpcTransport({ address: process.env.LEAT_ADDRESS ?? "127.0.0.1:7070" });
 * await transport.ready(5_000);
 */
export interface GrpcTransport extends Transport {
  /** The channel targets, as grpc-js names them, joined by spaces. */
  readonly target: string;
  /**
   * Connects ahead of the first call.
   *
   * @param timeoutMs - how long to try
   * @throws Error when no server could be reached in that time
   */
  ready(timeoutMs: number): Promise<void>;
  /** Closes the connections once the calls in flight have ended. New calls fail. */
  close(): void;
  /** As {@link close}. */
  [Symbol.dispose](): void;
}

/**
 * Makes a Connect transport that speaks gRPC through a grpc-js channel: its connections, keepalive,
 * load balancing, compression and deadlines, with retries, under Connect's typed clients and interceptors.
 *
 * @param options - where to connect to, and how; nothing connects before the first call
 * @throws TypeError for an address that cannot be understood
 *
 * @example
 * import { createClient } from "@connectrpc/connect";
 * import { createGrpcTransport, MetricsService } from "@leat/sdk";
 *
 * using transport = createGrpcTransport({ address: process.env.LEAT_ADDRESS ?? "127.0.0.1:7070" });
 * const metrics = createClient(MetricsService, transport);
 * const { snapshot } = await metrics.metrics({}, { timeoutMs: 1_000 });
 * console.log(snapshot?.pool?.workers);
 */
export function createGrpcTransport(options: GrpcTransportOptions = {}): GrpcTransport {
  const addresses = options.addresses ?? [options.address ?? defaultAddress];
  const { targets, authority, hosts, secure } = resolveAddresses(addresses);
  const authorise = authoriser(options, { hosts, secure });
  const parts = targets.map((target) => ({
    target: target.target,
    credentials: channelCredentials(options, target, secure),
    options: channelOptions(options, target),
  }));
  const channels = new ChannelSet(parts, options.loadBalancing ?? "round_robin");
  const baseUrl = `${secure || options.tls ? "https" : "http"}://${authority}`;
  const settings: CallSettings = {
    pickChannel: () => channels.pick(),
    compressMinBytes: options.compression === "gzip" ? (options.compressMinBytes ?? 1_024) : 0,
    authorise,
  };
  return {
    target: targets.map(({ target }) => target).join(" "),
    ready: (timeoutMs) => channels.ready(new Date(Date.now() + timeoutMs)),
    close: () => channels.close(),
    [Symbol.dispose]: () => channels.close(),
    unary: unaryOf(settings, options, baseUrl),
    stream: streamOf(settings, options, baseUrl),
  };
}

/** Connect's convention: no timeout takes the default, zero or less means none. Neither has one that no timer can wait for an end. */
function effectiveTimeoutMs(
  timeoutMs: number | undefined,
  defaultMs: number | undefined,
): number | undefined {
  const effective = timeoutMs ?? defaultMs;
  return effective !== undefined && effective > 0 && effective <= longestTimerMs ? effective : undefined;
}

/** What one try of a call is made with; asks for its token anew. */
function callRequest(
  { authorise }: CallSettings,
  header: HeadersInput,
  deadline: Date | undefined,
  signal: AbortSignal | undefined,
): CallRequest | Promise<CallRequest> {
  const metadata = toMetadata(header);
  const request = { metadata, deadline, signal };
  return authorise === undefined ? request : authorise(metadata, request).then(() => request);
}

function deadlineOf(timeoutMs: number | undefined): Date | undefined {
  return timeoutMs === undefined ? undefined : new Date(Date.now() + timeoutMs);
}

/** How servers are told that a call was tried before. Source: gRPC proposal A6, "client retries". */
const attemptsHeader = "grpc-previous-rpc-attempts";
/** How the server knows a transform that it ran before, and keeps no second dead letter of a record. */
const callIdHeader = "leat-call-id";
const transformMethod = "leat.v1.TransformService/Transform";

function unaryOf(settings: CallSettings, options: GrpcTransportOptions, baseUrl: string): Transport["unary"] {
  const { interceptors } = options;
  const policy = retryPolicy(options);
  const retrier = policy && new Retrier(policy);
  const call = async <I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    input: MessageInitShape<I>,
    header: HeadersInput,
    timeoutMs: number | undefined,
    signal: AbortSignal | undefined,
  ): Promise<UnaryResponse<I, O>> => {
    const deadline = deadlineOf(timeoutMs);
    const name = methodPath(method).slice(1);
    const callId = name === transformMethod ? crypto.randomUUID() : undefined;
    const attempt = async (before: number): Promise<UnaryResponse<I, O>> => {
      const request = await callRequest(settings, header, deadline, signal);
      const { metadata } = request;
      if (before > 0) metadata.set(attemptsHeader, String(before));
      // A caller that sends calls again by itself has its own.
      if (callId !== undefined && metadata.get(callIdHeader).length === 0) metadata.set(callIdHeader, callId);
      return callUnary(settings, method, input, request);
    };
    if (!retrier?.repeats(name)) return attempt(0);
    return retrier.run({ deadline, signal }, attempt);
  };
  return async (method, signal, timeout, header, input, contextValues) => {
    const timeoutMs = effectiveTimeoutMs(timeout, options.defaultTimeoutMs);
    if (!interceptors?.length) return call(method, input, header, timeoutMs, signal);
    return runUnaryCall({
      interceptors,
      ...(signal && { signal }),
      ...(timeoutMs !== undefined && { timeoutMs }),
      req: {
        ...commonRequest(baseUrl, method, header, contextValues),
        stream: false,
        method,
        message: input,
      },
      next: (request) => {
        const message = request.message as MessageInitShape<typeof method.input>;
        return call(method, message, request.header, timeoutMs, request.signal);
      },
    });
  };
}

function streamOf(
  settings: CallSettings,
  options: GrpcTransportOptions,
  baseUrl: string,
): Transport["stream"] {
  const { interceptors } = options;
  return async (method, signal, timeout, header, input, contextValues) => {
    // The default timeout is for unary calls: a stream lives as long as its producer.
    const timeoutMs = effectiveTimeoutMs(timeout, undefined);
    if (!interceptors?.length) {
      return callStreaming(
        settings,
        method,
        input,
        await callRequest(settings, header, deadlineOf(timeoutMs), signal),
      );
    }
    return runStreamingCall({
      interceptors,
      ...(signal && { signal }),
      ...(timeoutMs !== undefined && { timeoutMs }),
      req: { ...commonRequest(baseUrl, method, header, contextValues), stream: true, method, message: input },
      next: async (request) =>
        callStreaming(
          settings,
          method,
          request.message as AsyncIterable<MessageShape<typeof method.input>>,
          await callRequest(settings, request.header, deadlineOf(timeoutMs), request.signal),
        ),
    });
  };
}

/** What interceptors see of any call. */
function commonRequest<Method extends DescMethod & { input: DescMessage }>(
  baseUrl: string,
  method: Method,
  header: HeadersInput,
  contextValues: Parameters<Transport["unary"]>[5],
) {
  return {
    service: method.parent,
    requestMethod: "POST",
    url: `${baseUrl}${methodPath(method)}`,
    header: new Headers(header),
    contextValues: contextValues ?? createContextValues(),
  };
}
