/**
 * Loads the modules and pipelines that a server has from its start.
 *
 * @module
 */

import { readdir, readFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { create } from "@bufbuild/protobuf";
import { PipelineSchema } from "@leat/proto";
import { ConfigError } from "../config/config-error.ts";
import { parsePipelines } from "../config/pipelines-file.ts";
import type { ResolvedConfig } from "../config/resolve.ts";
import type { StartRegistry } from "../registry/audited-start.ts";
import { CommandError, describeError } from "./failure.ts";
import { parseModuleFileName } from "./module/file-name.ts";

/** What of the configuration says what to load. */
type StartConfig = Pick<ResolvedConfig, "modulesFolder" | "pipelinesFile" | "limits">;

/**
 * Loads the folder of modules, then the file of pipelines.
 *
 * @throws ConfigError when the folder or the file cannot be read
 * @throws CommandError for the first module or pipeline that the server refuses
 */
export async function loadAtStart(registry: StartRegistry, config: StartConfig): Promise<void> {
  if (config.modulesFolder !== undefined) await loadModules(registry, config.modulesFolder);
  if (config.pipelinesFile !== undefined) await putPipelines(registry, config.pipelinesFile, config);
}

async function loadModules(registry: StartRegistry, folder: string): Promise<void> {
  const names = await readdir(folder).catch(unreadable("modules", folder));
  // The version that is loaded last is the active one: 1.10.0 comes after 1.9.0.
  const { compare } = new Intl.Collator("en", { numeric: true });
  const files = names.filter((name) => name.endsWith(".wasm")).sort(compare);
  for (const file of files) {
    const path = join(folder, file);
    const wasm = await readFile(path).catch(unreadable("modules", path));
    // Beside the module, as "leat module sign --detached" writes it.
    const beside = `${file}.sig`;
    const signature = names.includes(beside)
      ? await readFile(join(folder, beside)).catch(unreadable("modules", join(folder, beside)))
      : new Uint8Array();
    const load = {
      ...parseModuleFileName(file),
      wasm,
      signature,
      sampleConfigJson: "",
      dryRun: false,
      whenHeld: "keep" as const,
    };
    await registry.load(load).catch(refused(shown(path)));
  }
}

async function putPipelines(registry: StartRegistry, file: string, { limits }: StartConfig): Promise<void> {
  const source = await readFile(file, "utf8").catch(unreadable("pipelines", file));
  for (const pipeline of parsePipelines(source, shown(file), limits)) {
    await registry.revisions
      .put(create(PipelineSchema, pipeline), { whenHeld: "keep" })
      .catch(refused(`${shown(file)}: pipeline ${pipeline.name}`));
  }
}

/** The path as the operator would write it. */
function shown(path: string): string {
  const fromHere = relative("", path);
  return fromHere.startsWith("..") ? path : fromHere;
}

function unreadable(key: string, path: string): (error: Error) => never {
  return (error) => {
    throw new ConfigError([{ where: "", key, problem: `${shown(path)} cannot be read: ${error.message}` }]);
  };
}

function refused(what: string): (error: unknown) => Promise<never> {
  return async (error) => {
    throw new CommandError(`${await describeError(error)} (${what}; the server does not start without it)`);
  };
}
