/** The supervisor as the first process of a container: signals, processes and exit codes as there. */

import { spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createGrpcTransport } from "@leat/sdk";
import { expect, test } from "vitest";
import { HealthWatch } from "../kit/health.ts";
import { root } from "../repository/root.ts";

const unshare = ["--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--"];
const permitted = existsSync("/proc/self/task") && spawnSync("unshare", [...unshare, "true"]).status === 0;

test.skipIf(!permitted)(
  "SIGTERM drains a supervisor that is process 1, and it exits with 0 (skipped where namespaces are not permitted)",
  async () => {
    const command = [process.execPath, join(root, "server/cli/leat.mjs"), "serve"];
    const address = ["--grpc-address", "127.0.0.1:0", "--http-address", "false"];
    const outer = spawn("unshare", [...unshare, ...command, ...address], {
      stdio: ["ignore", "ignore", "pipe"],
      env: { PATH: process.env["PATH"] },
    });
    try {
      const ended = new Promise<number | null>((resolve) => outer.once("close", resolve));
      let said = "";
      const serving = await new Promise<string>((resolve, reject) => {
        outer.stderr.on("data", (chunk: Buffer) => {
          said += chunk.toString();
          const match = /serves gRPC on (\S+)/.exec(said);
          if (match?.[1] !== undefined) resolve(match[1]);
        });
        outer.once("close", () => reject(new Error(said)));
      });
      using transport = createGrpcTransport({ address: serving });
      const watch = new HealthWatch(transport);
      await watch.says("SERVING");
      const [first] = readFileSync(`/proc/${outer.pid}/task/${outer.pid}/children`, "utf8").split(" ");
      process.kill(Number(first), "SIGTERM");
      await watch.says("NOT_SERVING");
      watch.close();
      expect(await ended).toBe(0);
    } finally {
      outer.kill("SIGKILL");
    }
  },
);
