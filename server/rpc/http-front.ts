/**
 * The HTTP door's connections: HTTP/1.1 and HTTP/2 on one port. With TLS the two sides agree on one of them in the handshake;
 * without, the first bytes of a connection tell.
 *
 * @module
 */

import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from "node:http";
import {
  createServer as createHttp2Server,
  createSecureServer,
  type Http2SecureServer,
  type Http2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import { createServer as createNetServer, type Server as NetServer, type Socket } from "node:net";
import type { Certificates, LoadedCertificates } from "../access/certificates.ts";
import type { Limits } from "../limits.ts";
import type { ConnectionStats } from "../telemetry/stats.ts";
import { boundConnections, listenOn } from "./connections.ts";
import { http2Options } from "./http2-options.ts";

/** A request of either version. */
export type AnyRequest = IncomingMessage | Http2ServerRequest;
/** A response of either version. */
export type AnyResponse = ServerResponse | Http2ServerResponse;
/** Answers requests. */
export type Handle = (request: AnyRequest, response: AnyResponse) => void;

/** How every HTTP/2 connection begins, and no HTTP/1.1 request. */
const http2Start = "PRI";

/** How often requests that are slow to come are looked for, in milliseconds. */
const slowRequestCheckMs = 1_000;

/** Listens on one address. */
export class HttpFront {
  readonly #limits: Readonly<Limits>;
  readonly #server: NetServer | Http2SecureServer;
  /** Connections, with the HTTP/1.1 requests that are being answered on each. */
  readonly #sockets = new Map<Socket, number>();
  readonly #speakHttp2 = new WeakSet<Socket>();
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #stopCertificates: (() => void) | undefined;
  #http1: Server | undefined;
  #finishing = false;

  constructor(
    handle: Handle,
    certificates: Certificates | undefined,
    limits: Readonly<Limits>,
    connections: ConnectionStats,
  ) {
    this.#limits = limits;
    const counted: Handle = (request, response) => {
      if (request.httpVersionMajor === 1) {
        this.#count(request.socket, 1);
        response.once("close", () => this.#count(request.socket, -1));
      }
      handle(request, response);
    };
    if (certificates === undefined) {
      this.#server = this.#plain(counted);
    } else {
      const secure = this.#secure(counted, certificates);
      this.#stopCertificates = certificates.onChange((loaded) => secure.setSecureContext(contextOf(loaded)));
      this.#server = secure;
    }
    boundConnections(this.#server, limits, connections);
  }

  /** What bounds HTTP/1.1 requests that come slowly or not at all. */
  get #http1Options(): ServerOptions {
    const { maxRequestHeadMs, maxRequestMs, maxMetadataBytes } = this.#limits;
    return {
      headersTimeout: maxRequestHeadMs,
      requestTimeout: maxRequestMs,
      maxHeaderSize: maxMetadataBytes,
      connectionsCheckingInterval: slowRequestCheckMs,
    };
  }

  #plain(handle: Handle): NetServer {
    const http1 = createServer(this.#http1Options, handle);
    // Node looks for slow requests only in a server that listens. This one is given its connections.
    http1.emit("listening");
    this.#http1 = http1;
    const http2 = createHttp2Server(http2Options(this.#limits), handle);
    this.#keepSessions(http2);
    return createNetServer((socket) => this.#sort(socket, http1, http2));
  }

  #secure(handle: Handle, certificates: Certificates): Http2SecureServer {
    const { clientCa, clientAuth } = certificates.files;
    const server = createSecureServer(
      {
        ...http2Options(this.#limits),
        ...contextOf(certificates.current),
        allowHTTP1: true,
        requestCert: clientCa !== undefined,
        rejectUnauthorized: clientCa !== undefined && clientAuth === "required",
        handshakeTimeout: this.#limits.maxRequestHeadMs,
        ...this.#http1Options,
      },
      handle,
    );
    // Node sets its own defaults over those that it was given.
    Object.assign(server, this.#http1Options);
    this.#keepSessions(server);
    server.on("secureConnection", (socket) => {
      this.#keep(socket);
      if (socket.alpnProtocol === "h2") this.#speakHttp2.add(socket);
    });
    // Of a handshake that failed only the caller needs to know.
    server.on("tlsClientError", (_error, socket) => socket.destroy());
    return server;
  }

  #keepSessions(server: Http2Server | Http2SecureServer): void {
    server.on("session", (session) => {
      this.#sessions.add(session);
      // Node tells of a connection on which nothing moves. One with calls is kept: they may have nothing to say.
      let calls = 0;
      session.on("stream", (stream: ServerHttp2Stream) => {
        calls++;
        stream.once("close", () => calls--);
      });
      session.setTimeout(this.#limits.maxIdleConnectionMs, () => {
        if (calls === 0) session.close();
      });
      session.on("close", () => this.#sessions.delete(session));
    });
  }

  #keep(socket: Socket): void {
    this.#sockets.set(socket, 0);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", () => socket.destroy());
  }

  /** Gives a connection to the server of the version that its first bytes speak. */
  #sort(socket: Socket, http1: Server, http2: Http2Server): void {
    this.#keep(socket);
    socket.setTimeout(this.#limits.maxRequestHeadMs, () => socket.destroy());
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
      (speaksHttp2 ? http2 : http1).emit("connection", socket);
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
  listen(host: string, port: number): Promise<number> {
    return listenOn(this.#server, host, port);
  }

  /** Takes no new connections and resolves when the calls in flight have ended. */
  async finish(): Promise<void> {
    this.#finishing = true;
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      for (const session of this.#sessions) session.close();
      for (const [socket, requests] of this.#sockets) {
        if (requests === 0 && !this.#speakHttp2.has(socket)) socket.end();
      }
    });
    this.#http1?.close();
    this.#stopCertificates?.();
  }

  /** Ends everything at once. */
  close(): void {
    this.#stopCertificates?.();
    this.#server.close();
    this.#http1?.close();
    for (const socket of this.#sockets.keys()) socket.destroy();
  }
}

function contextOf({ cert, key, ca }: LoadedCertificates): { cert: Buffer; key: Buffer; ca?: Buffer } {
  return { cert, key, ...(ca && { ca }) };
}
