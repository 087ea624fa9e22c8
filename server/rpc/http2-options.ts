/**
 * What one HTTP/2 connection may do, on both ports.
 *
 * @module
 */

import type { ServerSessionOptions } from "node:http2";
import type { Server } from "@grpc/grpc-js";
import type { Limits } from "../limits.ts";

/**
 * The options of an HTTP/2 server.
 *
 * A client that cancels a call resets its stream, which costs it nothing and the server a call's beginning; who opens and resets streams
 * without end can drown a server (CVE-2023-44487). nghttp2 counts: beyond a burst and a rate it ends the connection, with GOAWAY and INTERNAL_ERROR. Its
 * defaults, 1,000 and 33 a second, also end connections of clients that hedge or give up often.
 */
export function http2Options(limits: Readonly<Limits>): ServerSessionOptions {
  return {
    streamResetBurst: limits.maxStreamResets,
    streamResetRate: limits.maxStreamResetsPerSecond,
    settings: {
      maxConcurrentStreams: limits.maxCallsPerConnection,
      maxHeaderListSize: limits.maxMetadataBytes,
    },
  };
}

/**
 * Gives these options to a server of grpc-js, which has its own for one of them only: they join those that it makes its HTTP/2 servers with.
 *
 * @throws Error where a version of grpc-js keeps them elsewhere
 */
export function limitHttp2(server: Server, limits: Readonly<Limits>): void {
  const { commonServerOptions } = server as unknown as { readonly commonServerOptions?: object };
  if (typeof commonServerOptions !== "object") throw new Error("grpc-js keeps its HTTP/2 options elsewhere");
  Object.assign(commonServerOptions, http2Options(limits), { handshakeTimeout: limits.maxRequestHeadMs });
}
