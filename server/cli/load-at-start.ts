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

/** Told what is wrong with a module, a pipeline or all of them, which is left out then. */
type Skip = (problem: string) => void;

/**
 * Loads the folder of modules, then the file of pipelines.
 *
 * @param skip - default: what is wrong is thrown
 * @throws ConfigError when the folder or the file cannot be read
 * @throws CommandError for the first module or pipeline that the server refuses
 */
export async function loadAtStart(registry: StartRegistry, config: StartConfig, skip?: Skip): Promise<void> {
  const { modulesFolder, pipelinesFile } = config;
  if (modulesFolder !== undefined) await attempt(() => loadModules(registry, modulesFolder, skip), skip);
  if (pipelinesFile !== undefined)
    await attempt(() => putPipelines(registry, pipelinesFile, config, skip), skip);
}

/** Does a part of the work, of which a mistake concerns nothing else. */
async function attempt(work: () => Promise<unknown>, skip: Skip | undefined): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (skip === undefined) throw error;
    skip(error instanceof Error ? error.message : String(error));
  }
}

async function loadModules(registry: StartRegistry, folder: string, skip: Skip | undefined): Promise<void> {
  const names = await readdir(folder).catch(unreadable("modules", folder));
  // The version that is loaded last is the active one: 1.10.0 comes after 1.9.0.
  const { compare } = new Intl.Collator("en", { numeric: true });
  const files = names.filter((name) => name.endsWith(".wasm")).sort(compare);
  const load = async (file: string): Promise<void> => {
    const path = join(folder, file);
    const wasm = await readFile(path).catch(unreadable("modules", path));
    // Beside the module, as "leat module sign --detached" writes it.
    const beside = `${file}.sig`;
    const signature = names.includes(beside)
      ? await readFile(join(folder, beside)).catch(unreadable("modules", join(folder, beside)))
      : new Uint8Array();
    const module = {
      ...parseModuleFileName(file),
      wasm,
      signature,
      sampleConfigJson: "",
      dryRun: false,
      whenHeld: "keep" as const,
    };
    await registry.load(module).catch(refused(shown(path), skip));
  };
  for (const file of files) await attempt(() => load(file), skip);
}

async function putPipelines(
  registry: StartRegistry,
  file: string,
  { limits }: StartConfig,
  skip: Skip | undefined,
): Promise<void> {
  const source = await readFile(file, "utf8").catch(unreadable("pipelines", file));
  for (const pipeline of parsePipelines(source, shown(file), limits)) {
    const put = (): Promise<unknown> =>
      registry.revisions
        .put(create(PipelineSchema, pipeline), { whenHeld: "keep" })
        .catch(refused(`${shown(file)}: pipeline ${pipeline.name}`, skip));
    await attempt(put, skip);
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

function refused(what: string, skip: Skip | undefined): (error: unknown) => Promise<never> {
  return async (error) => {
    const consequence = skip === undefined ? "; the server does not start without it" : "";
    throw new CommandError(`${await describeError(error)} (${what}${consequence})`);
  };
}
