/**
 * The server process that `leat serve` starts: reads the configuration, serves, and drains when it
 * is told to.
 *
 * @module
 */

import { rmSync } from "node:fs";
import { flushCompileCache } from "node:module";
import { join } from "node:path";
import { ConfigError } from "../config/config-error.ts";
import { type Address, formatAddress } from "../config/kinds.ts";
import { resolveConfig } from "../config/resolve.ts";
import type { ConfigStart } from "../running-config.ts";
import { type LeatServer, startServer } from "../server.ts";
import type { FromServer, ServedWith, ServerStart, ToServer } from "../supervision/messages.ts";
import { createLogger } from "../telemetry/logger.ts";
import { serverVersion } from "../version.ts";
import { exitCodes, reportFailure } from "./failure.ts";
import { loadAtStart } from "./load-at-start.ts";

/** What the process was told from outside. */
interface Requests {
  /** Resolves when it shall serve. Until then it stands by, with everything loaded. */
  readonly serve: Promise<ServerStart>;
  /** Resolves when the server shall end well. */
  readonly drain: Promise<void>;
  /** Resolves when it shall end at once. */
  readonly close: Promise<void>;
  /** Has it do something each time that it shall read its configuration again. */
  readonly onReload: (reload: () => void) => void;
}

/**
 * Listens to the supervisor and to signals. A signal that comes straight to this process only ever
 * drains: the supervisor, which gets the same ones from a terminal, says when it was a second one.
 */
function requests(): Requests {
  const serve = Promise.withResolvers<ServerStart>();
  const drain = Promise.withResolvers<void>();
  const close = Promise.withResolvers<void>();
  // One that is about to serve may have read its configuration before it was changed.
  let early = false;
  let reload = (): void => {
    early = true;
  };
  process.on("SIGHUP", () => reload());
  process.on("message", (message: ToServer) => {
    if (message.type === "serve") serve.resolve(message.start);
    else if (message.type === "close") close.resolve();
    else if (message.type === "reload") reload();
    else drain.resolve();
  });
  // Without its supervisor nobody could stop it any more.
  process.on("disconnect", () => drain.resolve());
  process.on("SIGTERM", () => drain.resolve());
  process.on("SIGINT", () => drain.resolve());
  const onReload = (act: () => void): void => {
    reload = act;
    if (early) act();
  };
  return { serve: serve.promise, drain: drain.promise, close: close.promise, onReload };
}

/** A configuration to serve with. */
interface ReadConfig extends ConfigStart {
  /** Why the file was not taken as it is now; undefined where it was. */
  readonly problem?: string;
}

/**
 * Reads what the supervisor passed: the configuration's path or nothing, then `key=value`. A file that was broken while a server ran
 * has changed nothing then, and must not end it now: it goes on with the text that could last be used.
 *
 * @throws ConfigError
 */
function readConfig([file, ...settings]: readonly string[], served: ServedWith | undefined): ReadConfig {
  const flags = Object.fromEntries(
    settings.map((setting) => {
      const at = setting.indexOf("=");
      return [setting.slice(0, at), setting.slice(at + 1)];
    }),
  );
  const sources = { file: file || undefined, env: process.env, flags };
  try {
    return { sources, resolved: resolveConfig(sources) };
  } catch (error) {
    if (!(error instanceof ConfigError) || served === undefined) throw error;
    const { configText: text } = served;
    const resolved = resolveConfig({ ...sources, ...(text === undefined ? { file: false } : { text }) });
    return { sources, resolved, problem: error.message };
  }
}

/** The same address again, where an earlier process was free to choose its port. */
function again(address: Address, port: number | undefined): string {
  return formatAddress(address.port === 0 ? { ...address, port: port ?? 0 } : address);
}

/** Without a supervisor there is nobody to tell. */
function tell(message: FromServer): void {
  if (process.connected) process.send?.(message);
}

async function startServing(given: ReadConfig, before: ServerStart): Promise<LeatServer> {
  const { resolved: config } = given;
  const ledger = join(before.folder, "crash-ledger");
  const quarantine = join(config.dataFolder ?? before.folder, "quarantine.json");
  const supervision = { ledger, quarantine: before.quarantine ?? quarantine };
  const { maxRestarts, restartWindowMs } = config.limits;
  tell({ type: "starting", ledger, quarantine, maxRestarts, restartWindowMs, standby: config.standby });
  const logger = createLogger({
    level: config.logLevel,
    maxWaitingBytes: config.limits.maxWaitingLogBytes,
  });
  for (const warning of config.warnings) logger.warn(warning);
  const { problem } = given;
  if (problem !== undefined)
    logger.error({ problem }, "the configuration cannot be used; the one before it is in force");
  // What the data folder has serves on without what is wrong beside it; who starts a server for the first time wants to know.
  const restored = before.served !== undefined && config.dataFolder !== undefined;
  const skip = (left: string): void => logger.error({ problem: left }, "left out at this restart");
  const server = await startServer({
    grpcAddress: again(config.grpc, before.grpcPort),
    httpAddress: config.http === undefined ? false : again(config.http, before.httpPort),
    httpHosts: config.httpHosts,
    tls: config.tls,
    accessFile: config.accessFile,
    signatures: config.signatures,
    auditOnFailure: config.auditOnFailure,
    insecureExpose: config.insecureExpose,
    supervision,
    limits: config.limits,
    dataFolder: config.dataFolder,
    isolation: config.isolation,
    needsStore: config.healthNeedsStore,
    logger,
    config: given,
    sampleRatio: config.sampleRatio,
    telemetryEnv: config.telemetryEnv,
    prepare: async (registry) => {
      await loadAtStart(registry, config, restored ? skip : undefined);
      // For the next process: one that is killed writes nothing any more, and later it would hold up calls.
      flushCompileCache();
    },
  });
  const ports = { grpcPort: server.grpcPort, httpPort: server.httpPort };
  tell({ type: "serving", ...ports, configText: config.text });
  server.config.onGoodText = (configText) => tell({ type: "configured", configText });
  const grpc = formatAddress({ ...config.grpc, port: server.grpcPort });
  const http = config.http && formatAddress({ ...config.http, port: server.httpPort ?? 0 });
  process.stderr.write(
    `leat ${serverVersion} serves gRPC on ${grpc}${http === undefined ? "" : ` and HTTP on ${http}`}\n`,
  );
  return server;
}

/** Serves until it is told to end. @returns the exit code */
async function serve(asked: Requests): Promise<number> {
  const closed = asked.close.then(() => exitCodes.failed);
  const before = await Promise.race([asked.serve, asked.drain, closed]);
  if (typeof before !== "object") return exitCodes.ok;
  const settings = process.argv.slice(2);
  const served = startServing(readConfig(settings, before.served), before).then(async (server) => {
    // What is wrong is in the log.
    asked.onReload(() => void server.config.reload().catch(() => undefined));
    await asked.drain;
    await server.drain();
    // Nobody else is left to clean up.
    if (!process.connected) rmSync(before.folder, { recursive: true, force: true });
    return exitCodes.ok;
  });
  // At once means at once: what the process holds ends with it.
  return Promise.race([served, closed]);
}

const code = await serve(requests()).catch(reportFailure);
tell({ type: "ending", code });
process.exit(code);
