/**
 * `leat module schema`: the schema of a configuration that a module carries.
 *
 * @module
 */

import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import { LeatError } from "../../errors.ts";
import { CommandError } from "../failure.ts";
import { print } from "../text-table.ts";
import { replaceFile } from "./replace-file.ts";

const help = `
The schema is a JSON Schema (draft-07, 2019-09 or 2020-12) in a section of the module. A server that loads the module
holds the configuration of each stage against it. Set it before the module is signed: it changes the module's digest.

Examples:
  leat module schema set redact.wasm redact.schema.json
  leat module schema show redact.wasm`;

/** Adds `module schema` with its subcommands. */
export function addSchemaCommands(module: Command): void {
  const schema = module
    .command("schema")
    .description("set or show the schema of a module file's configuration")
    .addHelpText("after", help);
  schema
    .command("set <MODULE.wasm> <SCHEMA.json>")
    .description("put a schema into a module's file, in place of one that is there")
    .option("-o, --output <FILE>", "where to write (default: the module's file)")
    .action(set);
  schema.command("show <MODULE.wasm>").description("print the schema that a module's file has").action(show);
}

async function set(file: string, schemaFile: string, { output = file }: { output?: string }): Promise<void> {
  const { withConfigSchema } = await import("../../module/config-schema.ts");
  const { defaultLimits } = await import("../../limits.ts");
  const wasm = await readFile(file);
  const schema = await readFile(schemaFile);
  await schemaOf(file, wasm, false);
  const changed = await named(schemaFile, () => withConfigSchema(wasm, schema, defaultLimits));
  await replaceFile(output, changed);
  await print(`wrote ${output} with the schema of ${schemaFile}\n`);
}

async function show(file: string): Promise<void> {
  await print(`${await schemaOf(file, await readFile(file), true)}\n`);
}

/** The schema of a module that can be loaded. */
async function schemaOf(file: string, wasm: Uint8Array, wanted: boolean): Promise<string> {
  const { inspectModule } = await import("../../module/inspect.ts");
  const { defaultLimits } = await import("../../limits.ts");
  const { configSchema } = await named(file, () => inspectModule(wasm, defaultLimits));
  if (wanted && configSchema === "") throw new CommandError(`${file} has no schema`);
  return configSchema;
}

/** Says of which file it is that something is wrong. */
async function named<T>(file: string, read: () => T): Promise<T> {
  try {
    return read();
  } catch (error) {
    if (error instanceof LeatError) throw new CommandError(`${file}: ${error.reason}: ${error.message}`);
    throw error;
  }
}
