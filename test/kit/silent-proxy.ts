/**
 * A TCP proxy that can forget its connections: it then passes nothing on, in either direction, and tells neither side, as one does
 * that drops idle connections, or a network that is gone. It can cut them as well, which both sides hear.
 *
 * @module
 */

import { connect, createServer, type Socket } from "node:net";

/** A proxy on a free port. */
export class SilentProxy implements AsyncDisposable {
  /** Chunks that clients have sent, over all connections. */
  fromClients = 0;
  /** Connections that were made. */
  connections = 0;
  readonly #sockets = new Set<Socket>();
  readonly #live = new Set<object>();
  readonly #server;

  constructor(target: string) {
    const [host = "", port] = target.split(":");
    this.#server = createServer((client) => this.#join(client, connect(Number(port), host)));
  }

  /** Listens. @returns the address */
  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("the proxy has no port");
    return `127.0.0.1:${address.port}`;
  }

  /** Passes nothing more on, on the connections that there are; new ones work. */
  forget(): void {
    this.#live.clear();
  }

  /** Ends the connections that there are; new ones work. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #join(client: Socket, upstream: Socket): void {
    this.connections++;
    const pair = {};
    this.#live.add(pair);
    const pass = (from: Socket, to: Socket): void => {
      this.#sockets.add(from);
      from.on("error", () => {});
      from.on("data", (chunk) => {
        if (from === client) this.fromClients++;
        if (this.#live.has(pair)) to.write(chunk);
      });
      from.on("close", () => {
        this.#sockets.delete(from);
        if (this.#live.has(pair)) to.destroy();
      });
    };
    pass(client, upstream);
    pass(upstream, client);
  }
}
