/**
 * A real gRPC server that speaks Leat's protocol in plain TypeScript, for tests of clients: it checks
 * what the protocol demands of them, shows what it saw, and misbehaves on demand.
 *
 * @module
 */

import type { AddressInfo, Socket } from "node:net";
import { createServer } from "node:net";
import type { DescMessage, DescMethod, MessageShape } from "@bufbuild/protobuf";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type {
  Metadata as GrpcMetadata,
  handleBidiStreamingCall,
  handleServerStreamingCall,
  handleUnaryCall,
  MethodDefinition,
  ServerOptions,
} from "@grpc/grpc-js";
import { Metadata, Server, ServerCredentials, status } from "@grpc/grpc-js";
import type {
  Record,
  StreamTransformRequest,
  StreamTransformResponse,
  TransformRequest,
  TransformResponse,
  WatchMetricsRequest,
  WatchMetricsResponse,
} from "@leat/proto";
import { MetricsService, TransformService } from "@leat/proto";
import { runPipeline } from "./pipelines.ts";
import { protocolError } from "./protocol-error.ts";
import { ProtocolStream } from "./protocol-stream.ts";

/** How the server behaves; all of it may be changed while it runs. */
export interface Behaviour {
  /** The window that streams get. */
  window: number;
  maxBatchBytes: number;
  maxBatchRecords: number;
  /** Unary calls to answer with UNAVAILABLE before one is run. */
  unavailable: number;
  /** Answers a batch with an error instead of running it; called for each batch that would be run. */
  refuse: (sequence: number) => { reason: string; code: number; retryAfterMs?: number } | undefined;
  /** Awaited before a batch is answered; a test holds the server here. */
  beforeAnswer: (sequence: number) => Promise<void> | undefined;
}

/** What a stream's client did, as the server saw it. */
export interface SeenStream {
  readonly streamId: string;
  readonly afterSequence: number;
  readonly metadata: GrpcMetadata;
  readonly batches: { sequence: number; traceparent: string; records: readonly Record[] }[];
  /** The most batches that were unanswered at once. */
  maxUnanswered: number;
  ended: boolean;
}

/** A running server. */
export interface ProtocolServer extends AsyncDisposable {
  readonly address: string;
  readonly port: number;
  readonly behaviour: Behaviour;
  readonly streams: SeenStream[];
  /** Unary calls that reached the server, whether they were run or not. */
  readonly unaryCalls: { metadata: GrpcMetadata; deadline: Date | number }[];
  /** Calls that the client cancelled, or whose connection was lost. */
  cancelled: number;
  /** WatchMetrics calls that are open. */
  watchers: number;
  /** Cuts all connections, as when a machine loses its network; or resets them, as when the process is killed that held them. */
  cutConnections(how?: "destroy" | "resetAndDestroy"): void;
  /** Tells all open streams that the server is draining. */
  drain(): void;
  /** How many connections are open. */
  readonly connections: number;
  /** What those have received, in bytes on the wire. */
  readonly receivedBytes: number;
  close(): Promise<void>;
}

/** How to start the server. */
export interface ProtocolServerOptions extends Partial<Behaviour> {
  credentials?: ServerCredentials;
  port?: number;
  server?: ServerOptions;
}

function definition<I extends DescMessage, O extends DescMessage>(
  method: DescMethod & { input: I; output: O },
): MethodDefinition<MessageShape<I>, MessageShape<O>> {
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    requestStream: method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming",
    responseStream: method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming",
    requestSerialize: (message) => Buffer.from(toBinary(method.input, message)),
    requestDeserialize: (bytes) => fromBinary(method.input, new Uint8Array(bytes)),
    responseSerialize: (message) => Buffer.from(toBinary(method.output, message)),
    responseDeserialize: (bytes) => fromBinary(method.output, new Uint8Array(bytes)),
  };
}

/** Starts a server on a free port of the loopback interface. */
export async function startProtocolServer(options: ProtocolServerOptions = {}): Promise<ProtocolServer> {
  const {
    credentials = ServerCredentials.createInsecure(),
    port,
    server: serverOptions,
    ...overrides
  } = options;
  const behaviour: Behaviour = {
    window: 8,
    maxBatchBytes: 4 * 1024 * 1024,
    maxBatchRecords: 10_000,
    unavailable: 0,
    refuse: () => undefined,
    beforeAnswer: () => undefined,
    ...overrides,
  };
  const open = new Set<ProtocolStream>();
  const sockets = new Set<Socket>();
  const grpc = new Server(serverOptions);
  const injector = grpc.createConnectionInjector(credentials);
  const listener = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    injector.injectConnection(socket);
  });
  await new Promise<void>((resolve) => listener.listen(port ?? 0, "127.0.0.1", resolve));
  const { port: boundPort } = listener.address() as AddressInfo;
  const running: ProtocolServer = {
    address: `127.0.0.1:${boundPort}`,
    port: boundPort,
    behaviour,
    streams: [],
    unaryCalls: [],
    cancelled: 0,
    watchers: 0,
    get connections() {
      return sockets.size;
    },
    get receivedBytes() {
      return [...sockets].reduce((sum, socket) => sum + socket.bytesRead, 0);
    },
    cutConnections(how = "destroy") {
      for (const socket of sockets) socket[how]();
    },
    drain() {
      for (const stream of open) stream.drain();
    },
    async close() {
      running.cutConnections();
      await new Promise((resolve) => listener.close(resolve));
      injector.destroy();
      grpc.forceShutdown();
    },
    [Symbol.asyncDispose]: () => running.close(),
  };
  grpc.addService(
    {
      transform: definition(TransformService.method.transform),
      streamTransform: definition(TransformService.method.streamTransform),
    },
    { transform: unary(running), streamTransform: streaming(running, open) },
  );
  grpc.addService(
    { watchMetrics: definition(MetricsService.method.watchMetrics) },
    { watchMetrics: watching(running) },
  );
  return running;
}

function unary(server: ProtocolServer): handleUnaryCall<TransformRequest, TransformResponse> {
  return (call, callback) => {
    server.unaryCalls.push({ metadata: call.metadata, deadline: call.getDeadline() });
    // grpc-js emits this for calls that have ended as well.
    let answered = false;
    call.on("cancelled", () => {
      if (!answered) server.cancelled++;
    });
    const answer: typeof callback = (...outcome) => {
      answered = true;
      callback(...outcome);
    };
    if (server.behaviour.unavailable > 0) {
      server.behaviour.unavailable--;
      answer(protocolError(status.UNAVAILABLE, "DRAINING", "the server is draining"));
      return;
    }
    const header = new Metadata();
    header.set("x-header", "from-the-server");
    header.set("x-bytes-bin", Buffer.from([0, 255, 1]));
    for (const [name, values] of Object.entries(call.metadata.toJSON())) {
      if (name.startsWith("x-echo")) for (const value of values) header.add(name, value);
    }
    const outcome = runPipeline(call.request.target, call.request.batch?.records ?? []);
    if (outcome === "never") return;
    if ("code" in outcome) {
      if (outcome.withHeaders) call.sendMetadata(header);
      answer(protocolError(outcome.code, outcome.reason, outcome.message, outcome.extras));
      return;
    }
    call.sendMetadata(header);
    const trailer = new Metadata();
    trailer.set("x-trailer", "from-the-server");
    answer(null, { $typeName: "leat.v1.TransformResponse", result: outcome }, trailer);
  };
}

function streaming(
  server: ProtocolServer,
  open: Set<ProtocolStream>,
): handleBidiStreamingCall<StreamTransformRequest, StreamTransformResponse> {
  return (call) => {
    const stream: ProtocolStream = new ProtocolStream(call, server.behaviour, (seen) =>
      server.streams.push(seen),
    );
    open.add(stream);
    call.on("cancelled", () => {
      if (!stream.ended) server.cancelled++;
      open.delete(stream);
    });
  };
}

/** Sends a snapshot at once, and another each interval, until the client ends the call. */
function watching(
  server: ProtocolServer,
): handleServerStreamingCall<WatchMetricsRequest, WatchMetricsResponse> {
  return (call) => {
    const send = (): void => {
      call.write(create(MetricsService.method.watchMetrics.output, { snapshot: { pool: { workers: 1 } } }));
    };
    server.watchers++;
    send();
    const timer = setInterval(send, call.request.intervalMs || 1_000);
    call.on("cancelled", () => {
      clearInterval(timer);
      server.watchers--;
    });
  };
}
