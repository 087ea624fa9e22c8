/**
 * `leat serve`: supervises a server process, which it starts with the flags that V8 takes only at the start of a
 * process, and ends as it ends.
 *
 * @module
 */

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { nodeFlags } from "../node-flags.ts";
import { Supervisor } from "../supervision/supervisor.ts";
import { CommandError, usageError } from "./failure.ts";
import { collect } from "./options.ts";

/** The server process: `serve-process.ts` in the source tree, `.js` in a published package. */
const entry = new URL(`./serve-process${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url);

const help = `
Every option is a key of leat.yaml and a LEAT_* variable as well: flags go before variables, and these
before the file. Telemetry is set by the standard OTEL_* variables, too.

--modules loads each NAME.wasm or NAME@VERSION.wasm of the folder, versions of one name in ascending order;
the server does not start with a module that it cannot load.

SIGTERM or SIGINT drains: no new work is taken, what is in flight is finished, and the exit code is 0.
A second signal ends at once, with exit code 1. SIGHUP reads the configuration again; so does a change of its file.

A server process that ends by itself once it has served is started again, on the same ports. When a module
made it abort, that module is quarantined: "leat module list" shows it, "leat module release" ends that.

Examples:
  leat serve
  leat serve --modules modules --pipelines pipelines.yaml --log-level warn
  leat serve --grpc-address 0.0.0.0:7070 --http-address false --tls-cert tls.crt --tls-key tls.key --access access.yaml
  leat serve --limit maxBatchBytes=8MiB --limit maxGuestMemoryBytes=128MiB`;

/** Adds `serve`; its options only when the arguments name it, because the table of keys takes time to load. */
export async function addServeCommand(program: Command, args: readonly string[]): Promise<void> {
  const command = program.command("serve").description("run a server").addHelpText("after", help);
  if (!args.includes("serve")) return;
  const { configKeys } = await import("../config/schema.ts");
  command.option(
    "-c, --config <FILE>",
    "the configuration (default: LEAT_CONFIG, else leat.yaml in this folder)",
  );
  const flags = configKeys.filter(({ key }) => !key.startsWith("limits."));
  for (const { flag, defaultText, description = "" } of flags) {
    command.option(
      `${flag} <VALUE>`,
      `${description.replaceAll("`", "").replace(/\.$/, "")} (default: ${defaultText})`,
    );
  }
  command.option(
    "--limit <NAME=VALUE>",
    "set a limit; may be repeated (docs/operating.md lists them)",
    collect,
  );
  command.action(async (options: Record<string, string> & { limit?: string[]; config?: string }) => {
    const settings = flags.flatMap(({ key, flag }) => {
      const value = options[optionName(flag)];
      return value === undefined ? [] : [`${key}=${value}`];
    });
    const limits = (options.limit ?? []).map((limit) => {
      if (!limit.includes("=")) throw usageError(`--limit ${limit}: write NAME=VALUE`);
      return `limits.${limit}`;
    });
    const code = await supervise([options.config ?? "", ...settings, ...limits]);
    if (code !== 0) throw new CommandError("", code);
  });
}

/** The name under which commander keeps a flag's value. */
function optionName(flag: string): string {
  return flag.slice(2).replaceAll(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
}

/**
 * Runs the server under a supervisor.
 *
 * @param args - the configuration's path or nothing, then settings as `key=value`
 * @returns the exit code
 */
async function supervise(args: readonly string[]): Promise<number> {
  const supervisor = new Supervisor({
    start: (cacheFolder) =>
      spawn(process.execPath, [...nodeFlags, fileURLToPath(entry), ...args], {
        env: { NODE_COMPILE_CACHE: cacheFolder, ...process.env },
        stdio: ["inherit", "inherit", "inherit", "ipc"],
      }),
    say: (line) => process.stderr.write(`leat: ${line}\n`),
  });
  process.on("SIGTERM", supervisor.end);
  process.on("SIGINT", supervisor.end);
  process.on("SIGHUP", supervisor.reload);
  return supervisor.run().finally(() => {
    process.off("SIGTERM", supervisor.end);
    process.off("SIGINT", supervisor.end);
    process.off("SIGHUP", supervisor.reload);
  });
}
