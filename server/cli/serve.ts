/**
 * `leat serve`: starts the server process with the flags that V8 takes only at the start of a
 * process, passes signals on to it, and ends as it ends.
 *
 * @module
 */

import { spawn } from "node:child_process";
import { constants } from "node:os";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { nodeFlags } from "../node-flags.ts";
import { CommandError, usageError } from "./failure.ts";
import { collect } from "./options.ts";

/** What the launcher tells the server process. */
export type LauncherMessage = { readonly type: "drain" } | { readonly type: "close" };

/** The server process: `serve-process.ts` in the source tree, `.js` in a published package. */
const entry = new URL(`./serve-process${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url);

const help = `
Every option is a key of leat.yaml and a LEAT_* variable as well: flags go before variables, and these
before the file. Telemetry is set by the standard OTEL_* variables, too.

--modules loads each NAME.wasm or NAME@VERSION.wasm of the folder, versions of one name in ascending order;
the server does not start with a module that it cannot load.

SIGTERM or SIGINT drains: no new work is taken, what is in flight is finished, and the exit code is 0.
A second signal ends at once, with exit code 1.

Examples:
  leat serve
  leat serve --modules modules --pipelines pipelines.yaml --log-level warn
  leat serve --grpc-address 0.0.0.0:7070 --http-address false --workers 3
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
    const code = await launch([options.config ?? "", ...settings, ...limits]);
    if (code !== 0) throw new CommandError("", code);
  });
}

/** The name under which commander keeps a flag's value. */
function optionName(flag: string): string {
  return flag.slice(2).replaceAll(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
}

/**
 * Runs the server process.
 *
 * A terminal sends its signals to the launcher and to the server process both, and so do some service
 * managers. Therefore the launcher counts them and says what is meant.
 *
 * @param args - the configuration's path or nothing, then settings as `key=value`
 * @returns the exit code
 */
async function launch(args: readonly string[]): Promise<number> {
  const child = spawn(process.execPath, [...nodeFlags, fileURLToPath(entry), ...args], {
    stdio: ["inherit", "inherit", "inherit", "ipc"],
  });
  let asked = false;
  const onSignal = (): void => {
    const message: LauncherMessage = { type: asked ? "close" : "drain" };
    asked = true;
    // It may be gone already.
    if (child.connected) child.send(message, () => {});
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  child.once("error", reject);
  child.once("exit", (code, signal) => {
    if (signal !== null) {
      process.stderr.write(
        `leat: the server process was ended by ${signal} (${constants.signals[signal]})\n`,
      );
    }
    resolve(code ?? 1);
  });
  return promise.finally(() => {
    process.off("SIGTERM", onSignal);
    process.off("SIGINT", onSignal);
  });
}
