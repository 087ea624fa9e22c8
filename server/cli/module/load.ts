/**
 * `leat module load`.
 *
 * @module
 */

import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import type { Command } from "commander";
import { withLeat } from "../connection.ts";
import { addressOption, configOption, jsonOption, readConfigOption } from "../options.ts";
import { formatSize, print, printable } from "../text-table.ts";
import { parseModuleFileName } from "./file-name.ts";

interface LoadOptions {
  readonly name?: string;
  readonly version?: string;
  readonly config?: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

const help = `
The server checks, compiles and warms up the module before it takes it; a load that fails changes nothing.

Examples:
  leat module load redact.wasm --version 1.2.0
  leat module load redact@1.2.0.wasm
  leat module load redact.wasm --dry-run --config '{"fields":["email"]}'`;

/** Adds `module load`. */
export function addLoadCommand(module: Command): void {
  module
    .command("load <FILE>")
    .description("load a module into the server")
    .option("--name <NAME>", "its name (default: from the file's name, NAME.wasm or NAME@VERSION.wasm)")
    .option("--version <VERSION>", "its version (default: from the file's name, else from its digest)")
    .addOption(configOption("a configuration to warm it up with, for a module that needs one"))
    .option("--dry-run", "check, compile and warm up only")
    .addOption(jsonOption())
    .addOption(addressOption())
    .addHelpText("after", help)
    .action(load);
}

async function load(file: string, options: LoadOptions, command: Command): Promise<void> {
  const sampleConfigJson = readConfigOption(options.config);
  const wasm = await readFile(file);
  const fromFile = parseModuleFileName(basename(file));
  const { name = fromFile.name, version = fromFile.version, dryRun = false } = options;
  await withLeat(command, async (leat) => {
    const response = await leat.modules.loadModule({ name, version, wasm, sampleConfigJson, dryRun });
    if (options.json) {
      const { LoadModuleResponseSchema } = await import("@leat/sdk");
      const { toJsonString } = await import("@bufbuild/protobuf");
      await print(`${toJsonString(LoadModuleResponseSchema, response, { prettySpaces: 2 })}\n`);
      return;
    }
    const { module, alreadyLoaded } = response;
    if (module === undefined) return;
    const verb = dryRun ? "would load" : alreadyLoaded ? "had already loaded" : "loaded";
    const facts = `${formatSize(Number(module.sizeBytes))}, compiled in ${Number(module.compileUs) / 1_000} ms, ${module.digest}`;
    await print(`${verb} ${printable(`${module.name}@${module.version}`)} (${facts})\n`);
  });
}
