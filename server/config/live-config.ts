/**
 * The configuration of a server that runs: reads it again, finds out what has changed, and has that put in force.
 *
 * A new configuration is checked as a whole before anything changes. Of a good one, the keys that may change while the
 * server runs are put in force together; for the others it is told that they take a restart.
 *
 * @module
 */

import { limitChanges } from "../limit-changes.ts";
import type { Limits } from "../limits.ts";
import type { LogLevel } from "../telemetry/logger.ts";
import { ConfigError } from "./config-error.ts";
import { type ConfigSources, checkedLimits, type ResolvedConfig, resolveConfig } from "./resolve.ts";
import { configKeys } from "./schema.ts";
import { type Setting, variableBefore } from "./settings.ts";

/** A key whose value is another. */
export interface ConfigChange {
  readonly key: string;
  readonly from: string;
  readonly to: string;
}

/** What a new configuration has brought, or would bring. */
export interface ConfigOutcome {
  /** What is in force now and was not before. */
  readonly changed: readonly ConfigChange[];
  /** What will be in force after a restart only; `from` is what the server runs with. */
  readonly needRestart: readonly ConfigChange[];
}

/** What may change while a server runs. */
export interface LiveSettings {
  /** All limits. */
  readonly limits: Readonly<Limits>;
  /** What is logged. */
  readonly logLevel: LogLevel;
  /** The share of traces that begin here and are recorded. */
  readonly sampleRatio: number;
  /** What is asked of modules' signatures. */
  readonly signatures: ResolvedConfig["signatures"];
}

/** What a live configuration works with. */
export interface LiveConfigParts {
  /** What to read again. */
  readonly sources: ConfigSources;
  /** What the server was started with. */
  readonly start: ResolvedConfig;
  /** Puts settings in force, all together. What it throws leaves everything as it was. */
  readonly apply: (settings: LiveSettings) => Promise<void>;
  /** Looks at the other files of the configuration, before it is read again. */
  readonly checkFiles: () => Promise<void>;
  /** Told what became of each new configuration. */
  readonly onOutcome: (outcome: ConfigOutcome | ConfigError | Error, cause: "reload" | "set") => void;
}

const restartKeys = new Set(configKeys.filter(({ change }) => change === "restart").map(({ key }) => key));

/** The configuration of a running server. Changes go through one at a time. */
export class LiveConfig {
  readonly #parts: LiveConfigParts;
  #inForce: ReadonlyMap<string, Setting>;
  #read: ResolvedConfig;
  #last: Promise<unknown> = Promise.resolve();

  constructor(parts: LiveConfigParts) {
    this.#parts = parts;
    this.#inForce = parts.start.settings;
    this.#read = parts.start;
    this.lastText = parts.start.text;
  }

  /** The keys with the values that are in force. */
  settings(): readonly Setting[] {
    return [...this.#inForce.values()];
  }

  /** The file that is read; undefined where there is none. */
  get file(): string | undefined {
    return this.#parts.start.file;
  }

  /** The text of the file when it was last read, also when it was of no use. */
  lastText: string | undefined;

  /** Called with the text of the file each time that it was read again and can be used. */
  onGoodText: (text: string | undefined) => void = () => {};

  /**
   * Reads the file again, the one that there was at the start. What was set by {@link set} is dropped.
   *
   * @throws ConfigError with all mistakes, or LeatError LIMITS_UNFIT; nothing has changed then
   */
  async reload(): Promise<ConfigOutcome> {
    await this.#parts.checkFiles();
    return this.#change({}, false, "reload");
  }

  /**
   * Sets keys until the next {@link reload} or restart, over whatever the file, variables and flags say.
   *
   * @param values - by key; those that were set before stay
   * @param dryRun - whether to check only
   * @throws ConfigError with all mistakes, or LeatError LIMITS_UNFIT; nothing has changed then
   */
  set(values: Readonly<Record<string, string>>, dryRun: boolean): Promise<ConfigOutcome> {
    const { env } = this.#parts.sources;
    const problems = Object.keys(values).flatMap((key) => {
      const variable = variableBefore(key, env);
      if (variable !== undefined)
        return [{ where: "", key, problem: `cannot be set: the variable ${variable} goes before it` }];
      if (restartKeys.has(key))
        return [
          { where: "", key, problem: "takes a restart: set it in the file, or by a variable or a flag" },
        ];
      return key.startsWith("signatures.") ? [{ where: "", key, problem: "is set in the file only" }] : [];
    });
    if (problems.length > 0) return Promise.reject(new ConfigError(problems));
    return this.#change(values, dryRun, "set");
  }

  #change(
    values: Readonly<Record<string, string>>,
    dryRun: boolean,
    cause: "reload" | "set",
  ): Promise<ConfigOutcome> {
    const run = async (): Promise<ConfigOutcome> => {
      try {
        const outcome = await this.#changeNow(values, dryRun, cause);
        if (!dryRun) this.#parts.onOutcome(outcome, cause);
        return outcome;
      } catch (error) {
        if (!dryRun) this.#parts.onOutcome(error as Error, cause);
        throw error;
      }
    };
    const result = this.#last.then(run, run);
    this.#last = result.catch(() => undefined);
    return result;
  }

  async #changeNow(
    values: Readonly<Record<string, string>>,
    dryRun: boolean,
    cause: "reload" | "set",
  ): Promise<ConfigOutcome> {
    const next = cause === "reload" ? this.#readAgain() : this.#readOver({ ...this.#set(), ...values });
    const { start } = this.#parts;
    const limits = checkedLimits({ ...next.limits, ...restartLimits(start.limits) });
    const changed: ConfigChange[] = [];
    const needRestart: ConfigChange[] = [];
    const inForce = new Map<string, Setting>();
    for (const [key, setting] of next.settings) {
      const before = this.#inForce.get(key) ?? setting;
      const stays = restartKeys.has(key);
      inForce.set(key, stays ? (start.settings.get(key) ?? before) : setting);
      if (before.value === setting.value) continue;
      (stays ? needRestart : changed).push({ key, from: before.value, to: setting.value });
    }
    if (dryRun) return { changed, needRestart };
    if (changed.length > 0)
      await this.#parts.apply({
        limits,
        logLevel: next.logLevel,
        sampleRatio: next.sampleRatio ?? 1,
        signatures: next.signatures,
      });
    this.#inForce = inForce;
    this.#read = next;
    if (cause === "reload") this.onGoodText(next.text);
    return { changed, needRestart };
  }

  /** What was set by hand and still holds. */
  #set(): Record<string, string> {
    const set = [...this.#inForce.values()].filter(({ origin }) => origin === "rpc");
    return Object.fromEntries(set.map(({ key, value }) => [key, value]));
  }

  #readAgain(): ResolvedConfig {
    const onText = (text: string | undefined): void => {
      this.lastText = text;
    };
    return resolveConfig({ ...this.#sources(), onText });
  }

  /** What is set by hand goes over the file as it was read last, since only a reload reads it again. */
  #readOver(overrides: Readonly<Record<string, string>>): ResolvedConfig {
    return resolveConfig({ ...this.#sources(), overrides, text: this.#read.text });
  }

  /** The sources with the file that was found at the start: neither one that is gone nor one that is new makes it another. */
  #sources(): ConfigSources {
    return { ...this.#parts.sources, file: this.file ?? false };
  }
}

/** The limits that stay as they are until a restart. */
function restartLimits(limits: Readonly<Limits>): Partial<Limits> {
  const staying = Object.entries(limits).filter(([name]) => limitChanges[name as keyof Limits] === "restart");
  return Object.fromEntries(staying);
}
