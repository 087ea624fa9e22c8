/**
 * `leat module show`.
 *
 * @module
 */

import type { Command } from "commander";
import { withLeat } from "../connection.ts";
import { addressOption, jsonOption } from "../options.ts";
import { formatFields, formatSize, print, printable } from "../text-table.ts";
import { loadTime, problemFields, quarantineFields, signatureFields } from "./describe.ts";

/** Adds `module show`. */
export function addShowCommand(module: Command): void {
  module
    .command("show <MODULE>")
    .description("show one module: its imports, exports, who uses it, and the schema of its configuration")
    .addOption(jsonOption())
    .addOption(addressOption())
    .addHelpText("after", "\nExamples:\n  leat module show redact\n  leat module show redact@1.2.0 --json")
    .action(show);
}

function indented(json: string): string {
  return JSON.stringify(JSON.parse(json), undefined, 2).split("\n").map(printable).join("\n");
}

async function show(reference: string, options: { json?: boolean }, command: Command): Promise<void> {
  await withLeat(command, async (leat) => {
    const { module } = await leat.modules.getModule({ reference });
    if (module === undefined) return;
    if (options.json) {
      const { ModuleSchema } = await import("@leat/sdk");
      const { toJsonString } = await import("@bufbuild/protobuf");
      await print(`${toJsonString(ModuleSchema, module, { prettySpaces: 2 })}\n`);
      return;
    }
    await print(
      formatFields([
        ["name", module.name],
        ["version", module.version],
        ["active", module.active ? "yes" : "no"],
        ...quarantineFields(module.quarantine),
        ...problemFields(module),
        ...signatureFields(module.signature),
        ["digest", module.digest],
        ["size", formatSize(Number(module.sizeBytes))],
        ["loaded", loadTime(module)],
        ["compiled in", `${Number(module.compileUs) / 1_000} ms`],
        ["abi", module.abi],
        ["imports", module.imports.join(", ")],
        ["exports", module.exports.join(", ")],
        ["used by", module.usedBy.join(", ")],
      ]),
    );
    if (module.configSchemaJson !== "")
      await print(`\nschema of the configuration:\n${indented(module.configSchemaJson)}\n`);
  });
}
