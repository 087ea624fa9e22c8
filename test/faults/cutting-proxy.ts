/**
 * A TCP proxy that cuts connections, most often in the middle of a frame.
 *
 * @module
 */

import { connect, createServer, type Socket } from "node:net";
import type { Random } from "../fuzz/random.ts";

/** A proxy on a free port. */
export interface CuttingProxy extends AsyncDisposable {
  readonly address: string;
  /** How many connections it has cut. */
  cuts(): number;
}

/**
 * Starts a proxy to `target` that cuts each connection after a random number of bytes, in either direction.
 *
 * @param meanBytes - after about so many bytes on the average
 */
export async function startCuttingProxy(
  target: string,
  random: Random,
  meanBytes: number,
): Promise<CuttingProxy> {
  const [host = "", port] = target.split(":");
  const open = new Set<Socket>();
  let cuts = 0;
  const server = createServer((client) => {
    const upstream = connect(Number(port), host);
    let left = random.between(1, meanBytes * 2);
    const cut = (): void => {
      client.resetAndDestroy();
      upstream.resetAndDestroy();
    };
    const pass = (from: Socket, to: Socket): void => {
      open.add(from);
      from.on("error", cut);
      from.on("close", () => {
        open.delete(from);
        to.end();
      });
      from.on("data", (chunk: Buffer) => {
        if (left <= 0) return;
        const passed = chunk.subarray(0, left);
        left -= passed.length;
        if (left > 0) {
          if (!to.write(passed)) {
            from.pause();
            to.once("drain", () => from.resume());
          }
          return;
        }
        cuts++;
        // What came before the cut still arrives.
        to.write(passed, cut);
      });
    };
    pass(client, upstream);
    pass(upstream, client);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the proxy has no port");
  return {
    address: `127.0.0.1:${address.port}`,
    cuts: () => cuts,
    [Symbol.asyncDispose]: async () => {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
