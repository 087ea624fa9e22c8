/**
 * The gRPC door: grpc-js, with the data plane's messages as raw bytes.
 *
 * @module
 */

import { createServer } from "node:net";
import {
  Server,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServiceDefinition,
  type sendUnaryData,
} from "@grpc/grpc-js";
import type { Certificates } from "../access/certificates.ts";
import { LeatError, leatError } from "../errors.ts";
import type { ConnectionStats } from "../telemetry/stats.ts";
import { senderOf } from "./call-principal.ts";
import { boundConnections, listenOn } from "./connections.ts";
import { type Engine, maxMessageBytes } from "./engine.ts";
import { FlowWindows } from "./flow-window.ts";
import { controlDefinitions } from "./grpc-control.ts";
import { guardingCalls } from "./guarded-call.ts";
import { limitHttp2 } from "./http2-options.ts";
import { endingWatches } from "./open-watches.ts";
import { addReflection } from "./reflection.ts";
import { type Reply, serializeReply, transformReply } from "./reply.ts";
import {
  type MalformedView,
  readStream,
  readTransform,
  type StreamView,
  type TransformView,
} from "./request-view.ts";
import { StreamSession } from "./stream-session.ts";
import { grpcCredentials } from "./tls-credentials.ts";
import { callIdHeader, startTransform } from "./transform-call.ts";

const service = "/leat.v1.TransformService";

/** TransformService as grpc-js knows it, with raw bytes in and out. */
const transformDefinition: ServiceDefinition = {
  transform: {
    path: `${service}/Transform`,
    requestStream: false,
    responseStream: false,
    requestDeserialize: readTransform,
    requestSerialize: refuse,
    responseSerialize: serializeReply,
    responseDeserialize: refuse,
  },
  streamTransform: {
    path: `${service}/StreamTransform`,
    requestStream: true,
    responseStream: true,
    requestDeserialize: readStream,
    requestSerialize: refuse,
    responseSerialize: serializeReply,
    responseDeserialize: refuse,
  },
};

function refuse(): never {
  throw new Error("the server's side of a method only");
}

/** A gRPC server on one address. */
export class GrpcDoor {
  readonly #server: Server;
  /** grpc-js would listen by itself, for any number of connections. */
  readonly #listener = createServer();
  readonly #certificates: Certificates | undefined;
  readonly #windowBytes: number;
  #windows: FlowWindows | undefined;

  constructor(engine: Engine, certificates: Certificates | undefined, connections: ConnectionStats) {
    this.#certificates = certificates;
    this.#windowBytes = engine.limits.streamWindowBytes;
    boundConnections(this.#listener, engine.limits, connections);
    this.#server = new Server({
      "grpc.max_receive_message_length": maxMessageBytes(engine.limits),
      "grpc.max_send_message_length": -1,
      // A connection that says nothing for 20 s is asked whether it lives: proxies drop silent ones.
      "grpc.keepalive_time_ms": 20_000,
      "grpc.keepalive_timeout_ms": 20_000,
      "grpc.keepalive_permit_without_calls": 1,
      "grpc.max_connection_idle_ms": engine.limits.maxIdleConnectionMs,
      ...(engine.gate && { interceptors: [guardingCalls(engine.gate, engine.statuses)] }),
    });
    limitHttp2(this.#server, engine.limits);
    this.#server.addService(transformDefinition, {
      transform: (
        call: ServerUnaryCall<TransformView | MalformedView, Reply>,
        callback: sendUnaryData<Reply>,
      ) => transform(engine, call, callback),
      streamTransform: (call: ServerDuplexStream<StreamView, Reply>) => this.#stream(engine, call),
    });
    for (const { definition, implementation } of controlDefinitions(engine)) {
      this.#server.addService(definition, implementation);
    }
    addReflection(endingWatches(this.#server, engine.draining));
  }

  /** Listens. @returns the port */
  async listen(host: string, port: number): Promise<number> {
    const injector = this.#server.createConnectionInjector(grpcCredentials(this.#certificates));
    this.#listener.on("connection", (socket) => injector.injectConnection(socket));
    const bound = await listenOn(this.#listener, host, port);
    this.#windows = new FlowWindows(bound, this.#windowBytes);
    return bound;
  }

  /** Takes no new connections and resolves when the calls in flight have ended. */
  async finish(): Promise<void> {
    // Connections that grpc-js was given are none of its listener's, so it does not wait for them.
    const ended = new Promise<void>((resolve) => this.#listener.close(() => resolve()));
    await new Promise<void>((resolve) => this.#server.tryShutdown(() => resolve()));
    await ended;
    this.#windows?.[Symbol.dispose]();
  }

  /** Ends everything at once. */
  close(): void {
    this.#listener.close();
    this.#server.forceShutdown();
    this.#windows?.[Symbol.dispose]();
  }

  #stream(engine: Engine, call: ServerDuplexStream<StreamView, Reply>): void {
    let session: StreamSession;
    try {
      const port = {
        send: (reply: Reply) => call.write(reply),
        pause: () => call.pause(),
        resume: () => call.resume(),
        end: () => call.end(),
        fail: (error: LeatError) => call.emit("error", engine.statuses.grpc(error)),
      };
      session = new StreamSession(engine, port, senderOf(call.metadata));
    } catch (error) {
      call.emit("error", engine.statuses.grpc(error));
      return;
    }
    call.on("data", (view: StreamView) => session.receive(view));
    call.on("drain", () => session.drained());
    call.on("end", () => session.halfClosed());
    call.on("cancelled", () => session.cancelled());
  }
}

function transform(
  engine: Engine,
  call: ServerUnaryCall<TransformView | MalformedView, Reply>,
  callback: sendUnaryData<Reply>,
): void {
  const view = call.request;
  try {
    if (view.t === "malformed") throw leatError("REQUEST_MALFORMED", { problem: view.problem });
    const { target, bytes, start, end } = view;
    const [traceparent] = call.metadata.get("traceparent");
    const [tracestate] = call.metadata.get("tracestate");
    const [callId] = call.metadata.get(callIdHeader);
    const cancel = startTransform(
      engine,
      {
        target,
        bytes,
        start,
        end,
        traceparent: traceparent?.toString(),
        tracestate: tracestate?.toString(),
        callId: callId?.toString(),
        leftMs: Number(call.getDeadline()) - Date.now(),
        principal: engine.gate && senderOf(call.metadata),
      },
      (outcome) => {
        if (outcome instanceof LeatError) {
          callback(engine.statuses.grpc(outcome));
          return;
        }
        const reply = transformReply(outcome);
        callback(null, reply);
        // Does nothing when grpc-js has taken the bytes; a call that was cancelled never takes them.
        reply.detach();
      },
    );
    call.on("cancelled", cancel);
  } catch (error) {
    callback(engine.statuses.grpc(error));
  }
}
