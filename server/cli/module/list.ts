/**
 * `leat module list`.
 *
 * @module
 */

import type { Module } from "@leat/sdk";
import type { Command } from "commander";
import { withLeat } from "../connection.ts";
import { addressOption, jsonOption } from "../options.ts";
import { formatSize, formatTable, print } from "../text-table.ts";
import { loadTime, signerNames } from "./describe.ts";

/** Adds `module list`. */
export function addListCommand(module: Command): void {
  module
    .command("list [NAME]")
    .description("list the loaded modules, or the versions of one")
    .addOption(jsonOption())
    .addOption(addressOption())
    .addHelpText("after", "\nExamples:\n  leat module list\n  leat module list redact --json")
    .action(list);
}

async function list(name = "", options: { json?: boolean }, command: Command): Promise<void> {
  await withLeat(command, async (leat) => {
    const { modules, quarantined } = await leat.modules.listModules({ name });
    if (options.json) {
      const { ModuleSchema } = await import("@leat/sdk");
      const { create, toJson } = await import("@bufbuild/protobuf");
      // What is in quarantine and not loaded has a digest, and no name.
      const held = quarantined.map((quarantine) =>
        create(ModuleSchema, { digest: quarantine.digest, quarantine }),
      );
      const all = [...modules, ...held].map((module) => toJson(ModuleSchema, module));
      await print(`${JSON.stringify(all, undefined, 2)}\n`);
      return;
    }
    for (const { digest } of quarantined) {
      process.stderr.write(`${digest} is in quarantine, and not loaded\n`);
    }
    if (modules.length === 0) {
      process.stderr.write("no modules are loaded\n");
      return;
    }
    const rows = modules.map((module) => [
      module.name,
      module.version,
      module.active ? "yes" : "",
      stateOf(module),
      signerNames(module.signature),
      formatSize(Number(module.sizeBytes)),
      loadTime(module),
      module.digest.slice(0, 19),
      module.usedBy.join(", "),
    ]);
    const headings = [
      "NAME",
      "VERSION",
      "ACTIVE",
      "STATE",
      "SIGNED BY",
      "SIZE",
      "LOADED",
      "DIGEST",
      "USED BY",
    ];
    await print(formatTable(headings, rows));
  });
}

/** Why it does not run; empty where it does. */
function stateOf({ problem, quarantine, signature }: Module): string {
  if (problem !== "") return "broken";
  if (quarantine !== undefined) return "quarantined";
  return signature?.refused === true ? "refused" : "";
}
