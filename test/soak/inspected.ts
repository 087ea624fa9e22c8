/**
 * Collects the garbage of a server process from outside, through its inspector: what is left is what it holds.
 *
 * @module
 */

import { once } from "node:events";
import { until } from "../kit/until.ts";

/** For the environment of a process that {@link openInspector} is to open: a free port, since others may debug, too. */
export const inspectable = { NODE_OPTIONS: "--inspect-port=127.0.0.1:0" } as const;

/** The inspector of a process. */
export interface Inspector extends Disposable {
  /** Collects all garbage of the main thread. */
  collectGarbage(): Promise<void>;
}

/**
 * Opens the inspector of a process.
 *
 * @param stderr - all that the process has said, where the inspector says its address
 */
export async function openInspector(pid: number, stderr: () => string): Promise<Inspector> {
  const address = (): string | undefined => /Debugger listening on (ws:\S+)/.exec(stderr())?.[1];
  process.kill(pid, "SIGUSR1");
  await until(() => address() !== undefined, "the inspector listens");
  const socket = new WebSocket(address() ?? "");
  await once(socket, "open");
  let id = 0;
  return {
    collectGarbage: async () => {
      const asked = ++id;
      const { promise, resolve } = Promise.withResolvers<void>();
      const listen = ({ data }: MessageEvent): void => {
        if ((JSON.parse(String(data)) as { id?: number }).id !== asked) return;
        socket.removeEventListener("message", listen);
        resolve();
      };
      socket.addEventListener("message", listen);
      socket.send(JSON.stringify({ id: asked, method: "HeapProfiler.collectGarbage" }));
      await promise;
    },
    [Symbol.dispose]: () => socket.close(),
  };
}
