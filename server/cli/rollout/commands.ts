/**
 * `leat rollout`: the subcommands about versions that are tried.
 *
 * @module
 */

import type { Command } from "commander";
import { withLeat } from "../connection.ts";
import { addressOption, jsonOption } from "../options.ts";
import { formatFields, formatTable, print } from "../text-table.ts";
import { describeRollout, rolloutRow } from "./describe.ts";
import { addStartCommand } from "./start.ts";

const help = `
A rollout tries a loaded version beside the active one, in all stored pipelines that name the module without a version.

Examples:
  leat module load redact.wasm --version 1.3.0 --no-activate
  leat rollout start redact@1.3.0 --share 10%
  leat rollout show redact
  leat rollout promote redact`;

/** Adds `rollout` with its subcommands. */
export function addRolloutCommands(program: Command): void {
  const rollout = program
    .command("rollout")
    .description("try a module version on a share of the batches, or on copies of them")
    .addHelpText("after", help);
  addStartCommand(rollout);
  rollout
    .command("list")
    .description("list the last rollout of each module")
    .addOption(jsonOption())
    .addOption(addressOption())
    .addHelpText("after", "\nExamples:\n  leat rollout list")
    .action(list);
  addSubcommand(rollout, "show", "tell how a rollout goes or went, and how the two versions compare");
  addSubcommand(rollout, "promote", "make the version that is tried the active one");
  addSubcommand(rollout, "abort", "let the active version serve everything again");
}

function addSubcommand(rollout: Command, name: "show" | "promote" | "abort", description: string): void {
  rollout
    .command(`${name} <NAME>`)
    .description(description)
    .addOption(jsonOption())
    .addOption(addressOption())
    .addHelpText("after", `\nExamples:\n  leat rollout ${name} redact`)
    .action(async (module: string, options: { json?: boolean }, command: Command) => {
      await withLeat(command, async ({ modules }) => {
        const calls = {
          show: modules.getRollout,
          promote: modules.promoteRollout,
          abort: modules.abortRollout,
        };
        const { rollout: found } = await calls[name]({ name: module });
        if (found === undefined) return;
        if (!options.json) return print(formatFields(describeRollout(found)));
        const { RolloutSchema } = await import("@leat/sdk");
        const { toJsonString } = await import("@bufbuild/protobuf");
        await print(`${toJsonString(RolloutSchema, found, { prettySpaces: 2 })}\n`);
      });
    });
}

async function list(options: { json?: boolean }, command: Command): Promise<void> {
  await withLeat(command, async (leat) => {
    const { rollouts } = await leat.modules.listRollouts({});
    if (options.json) {
      const { RolloutSchema } = await import("@leat/sdk");
      const { toJson } = await import("@bufbuild/protobuf");
      const all = rollouts.map((rollout) => toJson(RolloutSchema, rollout));
      await print(`${JSON.stringify(all, undefined, 2)}\n`);
      return;
    }
    const headings = ["NAME", "FROM", "TO", "MODE", "SHARE", "STATE", "SINCE", "PIPELINES"];
    await print(formatTable(headings, rollouts.map(rolloutRow)));
  });
}
