/**
 * `leat config show`.
 *
 * @module
 */

import type { Leat } from "@leat/sdk";
import { type Command, Option } from "commander";
import { withLeat } from "../connection.ts";
import { addressOption, jsonOption } from "../options.ts";
import { formatTable, print } from "../text-table.ts";

/** A key as it is shown. */
interface Row {
  readonly key: string;
  readonly value: string;
  readonly origin: string;
  readonly where: string;
  readonly change: "live" | "restart";
}

interface ShowOptions {
  readonly server?: boolean;
  readonly config?: string;
  readonly set?: boolean;
  readonly json?: boolean;
}

/** Adds `config show`. */
export function addShowCommand(config: Command): void {
  config
    .command("show")
    .description("show every key with its value and where that comes from")
    .option("--server", "ask a running server; else what this environment would give one")
    .addOption(
      new Option(
        "-c, --config <FILE>",
        "the configuration (default: LEAT_CONFIG, else leat.yaml in this folder)",
      ).conflicts("server"),
    )
    .option("--set", "leave out what nobody has set")
    .addOption(jsonOption())
    .addOption(addressOption())
    .addHelpText("after", "\nExamples:\n  leat config show --set\n  leat config show --server --json")
    .action(show);
}

async function show(options: ShowOptions, command: Command): Promise<void> {
  const all = options.server ? await withLeat(command, ofServer) : await ofEnvironment(options.config);
  const rows = options.set ? all.filter(({ origin }) => origin !== "default") : all;
  if (options.json) {
    await print(`${JSON.stringify(rows, undefined, 2)}\n`);
    return;
  }
  const cells = rows.map(({ key, value, origin, where, change }) => [
    key,
    value === "" ? "-" : value,
    where === "" ? origin : `${origin} ${where}`,
    change,
  ]);
  await print(formatTable(["KEY", "VALUE", "FROM", "CHANGE"], cells));
}

async function ofEnvironment(file: string | undefined): Promise<Row[]> {
  const { resolveConfig } = await import("../../config/resolve.ts");
  const { configKeys } = await import("../../config/schema.ts");
  const changes = new Map(configKeys.map(({ key, change }) => [key, change]));
  const { settings } = resolveConfig({ file, env: process.env, flags: {} });
  return [...settings.values()].map((setting) => ({
    ...setting,
    change: changes.get(setting.key) ?? "restart",
  }));
}

async function ofServer(leat: Leat): Promise<Row[]> {
  const { ConfigOrigin } = await import("@leat/sdk");
  const names = new Map<number, string>(
    Object.entries(ConfigOrigin).map(([name, origin]) => [origin, name.toLowerCase()]),
  );
  const { settings } = await leat.config.getConfig({});
  return settings.map(({ key, value, origin, where, needsRestart }) => ({
    key,
    value,
    origin: names.get(origin) ?? String(origin),
    where,
    change: needsRestart ? "restart" : "live",
  }));
}
