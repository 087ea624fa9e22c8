/**
 * Bounds how many connections a port holds, and finds those whose other end is gone.
 *
 * @module
 */

import type { AddressInfo, Server, Socket } from "node:net";
import type { Limits } from "../limits.ts";
import type { ConnectionStats } from "../telemetry/stats.ts";

/** How long a connection may be silent before TCP asks whether its other end is there, in milliseconds. */
const keepAliveMs = 60_000;

/**
 * Holds a port to `maxConnections`: further ones are closed at once, before anything is read or written, and counted.
 * A refusal in words would need a handshake, which is what there is no room for.
 */
export function boundConnections(server: Server, limits: Readonly<Limits>, stats: ConnectionStats): void {
  server.maxConnections = limits.maxConnections;
  server.on("connection", (socket: Socket) => {
    stats.open++;
    socket.once("close", () => stats.open--);
    socket.setKeepAlive(true, keepAliveMs);
  });
  server.on("drop", () => stats.dropped++);
}

/** Listens. @returns the port */
export async function listenOn(server: Server, host: string, port: number): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => resolve());
  });
  return (server.address() as AddressInfo).port;
}
