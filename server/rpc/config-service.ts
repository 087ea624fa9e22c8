/**
 * ConfigService over the live configuration. Both doors serve this same implementation.
 *
 * @module
 */

import type { ServiceImpl } from "@connectrpc/connect";
import { ConfigOrigin, type ConfigService } from "@leat/proto";
import { ConfigError } from "../config/config-error.ts";
import { configKeys } from "../config/schema.ts";
import type { Origin } from "../config/settings.ts";
import { leatError } from "../errors.ts";
import type { Engine } from "./engine.ts";

const origins: Readonly<Record<Origin, ConfigOrigin>> = {
  default: ConfigOrigin.DEFAULT,
  program: ConfigOrigin.PROGRAM,
  file: ConfigOrigin.FILE,
  environment: ConfigOrigin.ENVIRONMENT,
  flag: ConfigOrigin.FLAG,
  rpc: ConfigOrigin.RPC,
};

/** The longest key and value that SetConfig reads; ours are shorter. */
const maxTextCharacters = 200;

const restartKeys = new Set(configKeys.filter(({ change }) => change === "restart").map(({ key }) => key));

/** ConfigService over the engine's configuration. */
export function configService({ config }: Engine): ServiceImpl<typeof ConfigService> {
  return {
    getConfig: () => ({
      settings: config.settings().map(({ key, value, origin, where }) => ({
        key,
        value,
        origin: origins[origin],
        where,
        needsRestart: restartKeys.has(key),
      })),
      file: config.file ?? "",
    }),
    reloadConfig: async () => {
      const { changed, needRestart } = await refusingMistakes(config.reload());
      return { changed: [...changed], needRestart: [...needRestart] };
    },
    setConfig: async ({ values, dryRun }) => {
      checkValues(values);
      const { changed } = await refusingMistakes(config.set(values, dryRun));
      return { changed: [...changed] };
    },
  };
}

/** @throws LeatError REQUEST_INVALID for what no configuration has, so that little is looked at */
function checkValues(values: Readonly<Record<string, string>>): void {
  const entries = Object.entries(values);
  if (entries.length === 0) throw leatError("REQUEST_INVALID", { field: "values", problem: "name a key" });
  if (entries.length > configKeys.length) {
    const problem = `has ${entries.length} keys, and there are ${configKeys.length}`;
    throw leatError("REQUEST_INVALID", { field: "values", problem });
  }
  if (entries.some((entry) => entry.some((text) => text.length > maxTextCharacters))) {
    const problem = `has a key or a value of more than ${maxTextCharacters} characters`;
    throw leatError("REQUEST_INVALID", { field: "values", problem });
  }
}

async function refusingMistakes<T>(change: Promise<T>): Promise<T> {
  try {
    return await change;
  } catch (error) {
    if (error instanceof ConfigError) throw leatError("CONFIG_INVALID", { problem: error.message });
    throw error;
  }
}
