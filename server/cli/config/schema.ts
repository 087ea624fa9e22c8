/**
 * `leat config schema`.
 *
 * @module
 */

import { Argument, type Command } from "commander";
import type { SchemaName } from "../../config/json-schema.ts";
import { print } from "../text-table.ts";

const help = `
For editors: put "# yaml-language-server: $schema=leat.schema.json" on the first line of leat.yaml.

Examples:
  leat config schema >leat.schema.json
  leat config schema pipelines >pipelines.schema.json`;

/** Adds `config schema`. */
export function addSchemaCommand(config: Command): void {
  config
    .command("schema")
    .description("print the JSON Schema of leat.yaml or of files of pipelines")
    .addArgument(new Argument("[FILE]", "whose schema").choices(["config", "pipelines"]).default("config"))
    .addHelpText("after", help)
    .action(async (name: SchemaName) => {
      const { jsonSchemaOf } = await import("../../config/json-schema.ts");
      await print(`${JSON.stringify(jsonSchemaOf(name), undefined, 2)}\n`);
    });
}
