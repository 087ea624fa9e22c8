/**
 * Holds configurations against the schemas that modules carry, in a thread of its own that is ended when it takes long:
 * a schema, and the patterns in it, may ask for work without end.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { Worker } from "node:worker_threads";
import type { Limits } from "../limits.ts";
import { Turnstile } from "./turnstile.ts";

/** What is wrong with a configuration. */
export interface ConfigProblem {
  /** Where, from the configuration on: `.fields[0]`, or empty for all of it. */
  readonly path: string;
  readonly problem: string;
}

/** A configuration and the schema that it must keep. */
export interface CheckedConfig {
  readonly schema: string;
  readonly configJson: string;
}

/** What the thread is started with. */
export interface ConfigCheckStart {
  readonly configs: readonly CheckedConfig[];
}

/** What the thread says: that it begins, and then of one configuration after the other what is wrong with it. */
export type FromConfigCheck = "ready" | readonly ConfigProblem[];

/** The heap of the thread, in MiB. */
const heapMiB = 64;
/** Configurations that were found right and need not be checked again. */
const maxRemembered = 1_000;

const entry = new URL(
  `./config-check-thread${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`,
  import.meta.url,
);

/** Checks configurations, one batch of them at a time. */
export class ConfigChecker {
  readonly #limits: Pick<Limits, "maxConfigCheckMs">;
  readonly #turnstile = new Turnstile();
  /** In the order of their last use. */
  readonly #right = new Set<string>();

  constructor(limits: Pick<Limits, "maxConfigCheckMs">) {
    this.#limits = limits;
  }

  /** What is wrong with each configuration. */
  check(configs: readonly CheckedConfig[]): Promise<readonly (readonly ConfigProblem[])[]> {
    const keys = configs.map(keyOf);
    if (keys.every((key) => this.#right.has(key))) return Promise.resolve(configs.map(() => []));
    return this.#turnstile.run(async () => {
      const found = await this.#inThread(configs);
      found.forEach((problems, index) => {
        if (problems.length === 0) this.#remember(keys[index] as string);
      });
      return found;
    });
  }

  async #inThread(configs: readonly CheckedConfig[]): Promise<readonly (readonly ConfigProblem[])[]> {
    const { maxConfigCheckMs } = this.#limits;
    const found: (readonly ConfigProblem[])[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    let why = "its thread ended without a word";
    const fail = (problem: string): void => {
      why = problem;
      resolve();
    };
    const start: ConfigCheckStart = { configs };
    const worker = new Worker(entry, {
      name: "config-check",
      workerData: start,
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: heapMiB },
    });
    let timer: NodeJS.Timeout | undefined;
    worker.on("message", (message: FromConfigCheck) => {
      if (message === "ready") {
        const problem = `that takes longer than maxConfigCheckMs, which is ${maxConfigCheckMs}`;
        timer = setTimeout(() => fail(problem), maxConfigCheckMs);
      } else if (found.push(message) === configs.length) resolve();
    });
    worker.once("error", (error) => fail(error instanceof Error ? error.message : String(error)));
    worker.once("exit", () => resolve());
    await promise;
    clearTimeout(timer);
    await worker.terminate();
    return configs.map((_, index) => found[index] ?? cannotBeChecked(why));
  }

  #remember(key: string): void {
    this.#right.add(key);
    for (const oldest of this.#right) {
      if (this.#right.size <= maxRemembered) break;
      this.#right.delete(oldest);
    }
  }
}

/** What is said of a configuration where its schema cannot be applied. */
export function cannotBeChecked(why: string): readonly ConfigProblem[] {
  return [{ path: "", problem: `cannot be held against the module's schema: ${why}` }];
}

function keyOf({ schema, configJson }: CheckedConfig): string {
  const hash = createHash("sha256")
    .update(String(schema.length))
    .update(" ")
    .update(schema)
    .update(configJson);
  return hash.digest("base64");
}
