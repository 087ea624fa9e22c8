/**
 * A server in a process of its own, whose memory is nobody else's.
 *
 * @module
 */

import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { create } from "@bufbuild/protobuf";
import { PipelineSchema } from "@leat/proto";
import { startServer } from "../../server/server.ts";
import { moduleBytes } from "./modules.ts";

/** A server that runs elsewhere. */
export interface ServerChild extends AsyncDisposable {
  /** Where it listens for gRPC. */
  readonly address: string;
}

/** Starts a server in a process of its own, with these modules of `test/modules`, each also a pipeline. */
export async function startServerChild(modules: readonly string[]): Promise<ServerChild> {
  const child: ChildProcess = fork(fileURLToPath(import.meta.url), [...modules], { execArgv: [] });
  const ended = once(child, "exit");
  const [port] = (await Promise.race([
    once(child, "message"),
    ended.then(() => Promise.reject(new Error("the server process ended before it served"))),
  ])) as [number];
  return {
    address: `127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      child.disconnect();
      await ended;
    },
  };
}

/** What the process does: serves until its parent lets go of it. */
async function serve(modules: readonly string[]): Promise<void> {
  const server = await startServer({
    grpcAddress: "127.0.0.1:0",
    httpAddress: false,
    limits: { maxWorkers: 1 },
    telemetryEnv: { OTEL_SDK_DISABLED: "true" },
    prepare: async (registry) => {
      for (const name of modules) {
        const wasm = await moduleBytes(name);
        await registry.load({ name, version: "", wasm, sampleConfigJson: "", dryRun: false });
        await registry.revisions.put(create(PipelineSchema, { name, stages: [{ module: name }] }));
      }
    },
  });
  process.on("disconnect", () => void server.close());
  process.send?.(server.grpcPort);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await serve(process.argv.slice(2));
