/**
 * `leat backup` and `leat restore`.
 *
 * @module
 */

import { type Command, Option } from "commander";
import { CommandError } from "./failure.ts";
import { print } from "./text-table.ts";

const backupHelp = `
Runs on the server's machine, as a user who may read the data folder, while the server serves. TARGET appears when all of it is
there. Restore it with "leat restore".

Examples:
  leat backup --data /var/lib/leat /backup/leat-2026-11-25`;

const restoreHelp = `
Checks the backup and makes a data folder of it. No server may run on that folder; it must be empty or not be there.

Examples:
  leat restore /backup/leat-2026-11-25 --data /var/lib/leat`;

function dataOption(): Option {
  return new Option("--data <FOLDER>", "the server's data folder").env("LEAT_DATA").makeOptionMandatory();
}

/** Adds `backup` and `restore`. */
export function addBackupCommands(program: Command): void {
  program
    .command("backup <TARGET>")
    .description("copy a data folder, while a server uses it")
    .addOption(dataOption())
    .addHelpText("after", backupHelp)
    .action((target: string, { data }: { data: string }) => copy("backUp", [data, target], target));
  program
    .command("restore <BACKUP>")
    .description("make a data folder of a backup")
    .addOption(dataOption())
    .addHelpText("after", restoreHelp)
    .action((backup: string, { data }: { data: string }) => copy("restoreBackup", [backup, data], data));
}

async function copy(
  way: "backUp" | "restoreBackup",
  [from, to]: readonly [string, string],
  made: string,
): Promise<void> {
  const store = await import("../store/backup.ts");
  const { modules, bytes, problems } = await store[way](from, to).catch((error: Error) => {
    throw new CommandError(error.message);
  });
  await print(`${made}: ${modules} modules, ${(bytes / 2 ** 20).toFixed(1)} MiB\n`);
  for (const problem of problems) process.stderr.write(`leat: not copied: ${problem}\n`);
  if (problems.length > 0) throw new CommandError(`${problems.length} modules could not be copied`);
}
