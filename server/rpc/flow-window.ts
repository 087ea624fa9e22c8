/**
 * The HTTP/2 flow-control windows of the gRPC port.
 *
 * grpc-js leaves its servers HTTP/2's initial 64 KiB, two batches of a usual size: producer and server then wait
 * for each other after every second batch, and each window update is a write of its own. It has an option for the windows
 * of clients and none for those of servers, so they are set here, as soon as a connection opens its first stream.
 *
 * @module
 */

import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { Http2Session, ServerHttp2Stream } from "node:http2";

/** Node publishes each stream of any HTTP/2 server of the process here. */
const streamCreated = "http2.server.stream.created";

/** Widens the windows of connections to one port of this process. */
export class FlowWindows implements Disposable {
  readonly #port: number;
  readonly #windowBytes: number;
  readonly #seen = new WeakSet<Http2Session>();

  /**
   * @param port - where the connections come in
   * @param windowBytes - what the other side may send on each stream ahead of what was read, and likewise on the connection
   */
  constructor(port: number, windowBytes: number) {
    this.#port = port;
    this.#windowBytes = windowBytes;
    subscribe(streamCreated, this.#created);
  }

  [Symbol.dispose](): void {
    unsubscribe(streamCreated, this.#created);
  }

  readonly #created = (message: unknown): void => {
    const { session } = (message as { readonly stream: ServerHttp2Stream }).stream;
    if (session === undefined || this.#seen.has(session)) return;
    this.#seen.add(session);
    if (session.destroyed || session.socket.localPort !== this.#port) return;
    session.setLocalWindowSize(this.#windowBytes);
    session.settings({ initialWindowSize: this.#windowBytes });
  };
}
