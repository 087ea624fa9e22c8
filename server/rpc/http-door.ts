/**
 * The HTTP door: the same services over Connect, gRPC-Web and plain JSON, beside metrics and probes.
 *
 * @module
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import {
  createServer as createHttp2Server,
  type Http2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from "node:http2";
import {
  type AddressInfo,
  createServer as createNetServer,
  type Server as NetServer,
  type Socket,
} from "node:net";
import type { Interceptor } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import {
  DeadLetterService,
  MetricsService,
  ModuleService,
  PipelineService,
  TransformService,
} from "@leat/proto";
import { connectTransformService } from "./connect-transform.ts";
import { metricsService, moduleService, pipelineService } from "./control-services.ts";
import { deadLetterService } from "./dead-letter-service.ts";
import type { Engine } from "./engine.ts";
import type { HealthBoard } from "./health.ts";

/** What the door shows beside the services. */
export interface HttpDoorOptions {
  readonly health: HealthBoard;
  /** All figures in Prometheus's text format, and its content type. */
  readonly prometheusText: () => Promise<string>;
  readonly prometheusContentType: string;
  /** Lines about what does not run although the server does. */
  readonly remarks: () => readonly string[];
}

/** HTTP/1.1 and, for streams in both directions, HTTP/2 without TLS, on one address. */
export class HttpDoor {
  readonly #front: NetServer;
  readonly #http1: Server;
  readonly #http2: Http2Server;
  /** Connections, with the HTTP/1.1 requests that are being answered on each. */
  readonly #sockets = new Map<Socket, number>();
  readonly #speakHttp2 = new WeakSet<Socket>();
  #finishing = false;
  readonly #sessions = new Set<ServerHttp2Session>();

  constructor(engine: Engine, options: HttpDoorOptions) {
    const services = connectNodeAdapter({
      routes: (router) => {
        router.service(TransformService, connectTransformService(engine));
        router.service(ModuleService, moduleService(engine));
        router.service(PipelineService, pipelineService(engine));
        router.service(MetricsService, metricsService(engine));
        router.service(DeadLetterService, deadLetterService(engine));
      },
      readMaxBytes: Math.max(engine.limits.maxModuleBytes, engine.limits.maxBatchBytes) * 2,
      interceptors: [mapErrors(engine)],
    });
    const handle = (request: AnyRequest, response: AnyResponse): void => {
      if (!servePage(request, response, options)) services(request, response);
    };
    this.#http1 = createServer((request, response) => {
      this.#count(request.socket, 1);
      response.once("close", () => this.#count(request.socket, -1));
      handle(request, response);
    });
    this.#http2 = createHttp2Server(handle);
    this.#http2.on("session", (session) => {
      this.#sessions.add(session);
      session.on("close", () => this.#sessions.delete(session));
    });
    this.#front = createNetServer((socket) => this.#sort(socket));
  }

  /** Gives a connection to the server of the version that its first bytes speak. */
  #sort(socket: Socket): void {
    this.#sockets.set(socket, 0);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    socket.setTimeout(firstBytesMs, () => socket.destroy());
    let first = Buffer.alloc(0);
    const read = (bytes: Buffer): void => {
      first = Buffer.concat([first, bytes]);
      const start = first.toString("latin1", 0, http2Start.length);
      // They may come one by one, and `P` begins a POST as well.
      if (start.length < http2Start.length && http2Start.startsWith(start)) return;
      socket.off("data", read);
      socket.setTimeout(0);
      socket.removeAllListeners("timeout");
      socket.pause();
      socket.unshift(first);
      const speaksHttp2 = start === http2Start;
      (speaksHttp2 ? this.#http2 : this.#http1).emit("connection", socket);
      // An HTTP/2 session takes the bytes by itself; the parser of HTTP/1 waits for them to flow.
      if (speaksHttp2) this.#speakHttp2.add(socket);
      else socket.resume();
    };
    socket.on("data", read);
  }

  /** An HTTP/1.1 request begins or ends; while the door closes, the last one takes its connection along. */
  #count(socket: Socket, change: 1 | -1): void {
    const requests = (this.#sockets.get(socket) ?? 0) + change;
    if (this.#sockets.has(socket)) this.#sockets.set(socket, requests);
    if (this.#finishing && requests === 0) socket.end();
  }

  /** Listens. @returns the port */
  async listen(host: string, port: number): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#front.once("error", reject);
      this.#front.listen(port, host, () => resolve());
    });
    return (this.#front.address() as AddressInfo).port;
  }

  /** Takes no new connections and resolves when the calls in flight have ended. */
  async finish(): Promise<void> {
    this.#finishing = true;
    await new Promise<void>((resolve) => {
      this.#front.close(() => resolve());
      for (const session of this.#sessions) session.close();
      for (const [socket, requests] of this.#sockets) {
        if (requests === 0 && !this.#speakHttp2.has(socket)) socket.end();
      }
    });
  }

  /** Ends everything at once. */
  close(): void {
    this.#front.close();
    for (const socket of this.#sockets.keys()) socket.destroy();
  }
}

/** How every HTTP/2 connection begins, and no HTTP/1.1 request. */
const http2Start = "PRI";

/** How long a connection may take for its first bytes, in milliseconds. */
const firstBytesMs = 10_000;

type AnyRequest = IncomingMessage | Http2ServerRequest;
type AnyResponse = ServerResponse | Http2ServerResponse;

/** Turns what a handler throws, at once or in the middle of its responses, into an error of Connect's. */
function mapErrors({ statuses }: Engine): Interceptor {
  async function* mapped<Message>(responses: AsyncIterable<Message>): AsyncGenerator<Message> {
    try {
      yield* responses;
    } catch (error) {
      throw statuses.connect(error);
    }
  }
  return (next) => async (request) => {
    try {
      const response = await next(request);
      return response.stream ? { ...response, message: mapped(response.message) } : response;
    } catch (error) {
      throw statuses.connect(error);
    }
  };
}

/** Serves what is no RPC. @returns whether it did */
function servePage(request: AnyRequest, response: AnyResponse, options: HttpDoorOptions): boolean {
  if (request.method !== "GET" && request.method !== "HEAD") return false;
  const path = request.url?.split("?", 1)[0];
  switch (path) {
    case "/healthz":
      text(response, 200, "ok\n");
      return true;
    case "/readyz": {
      const { status } = options.health;
      if (status.serving) text(response, 200, ["ready", ...options.remarks(), ""].join("\n"));
      else text(response, 503, `not ready: ${status.reason}\n`);
      return true;
    }
    case "/metrics":
      options.prometheusText().then(
        (body) => text(response, 200, body, options.prometheusContentType),
        () => text(response, 500, "metrics could not be read\n"),
      );
      return true;
    default:
      return false;
  }
}

function text(response: AnyResponse, status: number, body: string, type = "text/plain; charset=utf-8"): void {
  response.statusCode = status;
  response.setHeader("content-type", type);
  response.setHeader("content-length", Buffer.byteLength(body));
  response.end(body);
}
