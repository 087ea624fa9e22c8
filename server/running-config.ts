/**
 * The configuration of a server that runs, wired to its parts: what a change puts in force, logs and counts.
 *
 * @module
 */

import { ConfigError } from "./config/config-error.ts";
import { ConfigWatch } from "./config/config-watch.ts";
import { address } from "./config/kinds.ts";
import { type ConfigOutcome, LiveConfig, type LiveSettings } from "./config/live-config.ts";
import { type ConfigSources, type ResolvedConfig, resolveConfig } from "./config/resolve.ts";
import type { ConfigInput } from "./config/schema.ts";
import type { Limits } from "./limits.ts";
import { type Logger, logLevels } from "./telemetry/logger.ts";
import type { ConfigStats } from "./telemetry/stats.ts";

/** Where a server's configuration is from, and what that gave when the server was started with it. */
export interface ConfigStart {
  readonly sources: ConfigSources;
  readonly resolved: ResolvedConfig;
}

/** What a program may give that starts a server by itself, as far as a configuration has keys for it. */
export interface ProgramOptions {
  readonly grpcAddress?: string;
  readonly httpAddress?: string | false;
  readonly httpHosts?: readonly string[] | undefined;
  readonly accessFile?: string | undefined;
  readonly insecureExpose?: boolean;
  readonly dataFolder?: string | undefined;
  readonly sampleRatio?: number | undefined;
  readonly limits?: Partial<Limits>;
}

/** What a program gave that starts a server by itself, as a configuration that no file has. */
export function configOfProgram(
  options: ProgramOptions,
  limits: Readonly<Limits>,
  logLevel: string,
): ConfigStart {
  const { maxWorkers, maxDrainMs, ...given } = options.limits ?? {};
  const { grpcAddress = "", httpAddress = "" } = options;
  const base: ConfigInput = {
    grpc: { address: address.parse(grpcAddress) },
    http: {
      address: httpAddress === false ? false : address.parse(httpAddress),
      hosts: options.httpHosts,
    },
    access: options.accessFile,
    insecure: { expose: options.insecureExpose },
    data: options.dataFolder,
    workers: maxWorkers,
    drain: maxDrainMs,
    log: { level: logLevels.find((level) => level === logLevel) },
    telemetry: { sampleRatio: options.sampleRatio },
    limits: given,
  };
  const sources: ConfigSources = { file: false, env: {}, flags: {}, base };
  return { sources, resolved: { ...resolveConfig(sources), limits } };
}

/** What a running configuration is wired to. */
export interface RunningConfigParts {
  readonly start: ConfigStart;
  readonly logger: Logger;
  readonly stats: ConfigStats;
  readonly nowMs: () => number;
  readonly apply: (settings: LiveSettings) => Promise<void>;
  /** Looks at the files of certificates, access and signing keys, too. */
  readonly checkFiles: () => Promise<void>;
}

/** Makes the live configuration of a server. */
export function makeRunningConfig(parts: RunningConfigParts): LiveConfig {
  const { start, logger, stats, nowMs, apply, checkFiles } = parts;
  stats.lastGoodMs = nowMs();
  const count = (outcome: string): void => {
    stats.changes.set(outcome, (stats.changes.get(outcome) ?? 0) + 1);
  };
  return new LiveConfig({
    sources: start.sources,
    start: start.resolved,
    apply,
    checkFiles,
    onOutcome: (outcome, cause) => {
      if (outcome instanceof Error) {
        count("refused");
        const problems = outcome instanceof ConfigError ? outcome.message.split("\n") : [outcome.message];
        logger.error({ cause, problems }, "the configuration cannot be used; nothing has changed");
        return;
      }
      stats.lastGoodMs = nowMs();
      const { changed, needRestart } = outcome;
      count(changed.length > 0 ? "changed" : "unchanged");
      logger.info({ cause, changed: shown(outcome.changed) }, "the configuration was taken anew");
      if (needRestart.length > 0)
        logger.warn({ needRestart: shown(needRestart) }, "keys have changed that take a restart");
    },
  });
}

/** Has the configuration's file taken anew when it changes, where there is one and it is to be watched. */
export function watchConfig(
  config: LiveConfig,
  { resolved }: ConfigStart,
  { accessCheckMs }: Readonly<Limits>,
): ConfigWatch | undefined {
  const { file } = config;
  if (file === undefined || !resolved.watch) return undefined;
  return new ConfigWatch({
    file,
    intervalMs: accessCheckMs,
    lastText: () => config.lastText,
    changed: () => config.reload(),
  });
}

function shown(changes: ConfigOutcome["changed"]): Record<string, string> {
  return Object.fromEntries(changes.map(({ key, from, to }) => [key, `${from} -> ${to}`]));
}
