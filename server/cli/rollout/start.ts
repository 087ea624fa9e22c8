/**
 * `leat rollout start`.
 *
 * @module
 */

import { type Command, InvalidArgumentError } from "commander";
import { withLeat } from "../connection.ts";
import { usageError } from "../failure.ts";
import { addressOption } from "../options.ts";
import { print, printable } from "../text-table.ts";
import { percent } from "./describe.ts";

interface StartOptions {
  readonly share: number;
  readonly shadow?: boolean;
  readonly after?: number;
  readonly factor?: number;
}

const help = `
Without --after it runs until "leat rollout promote" or "leat rollout abort". With it, the version is promoted once
both have run so many batches and it is no worse in failed records, failed batches, median time and 99th percentile of
time than the active version's times --factor, and rolled back when it is worse.

Examples:
  leat rollout start redact@1.3.0 --share 10%
  leat rollout start redact@1.3.0 --share 5% --after 1000 --factor 1.2
  leat rollout start redact@1.3.0 --shadow --share 100%`;

/** Adds `rollout start`. */
export function addStartCommand(rollout: Command): void {
  rollout
    .command("start <MODULE>")
    .description("try a loaded version, NAME@VERSION, beside the active one")
    .requiredOption("--share <SHARE>", "the share of the batches, such as 10% or 0.1", readShare)
    .option("--shadow", "run it on copies, compare, and answer nothing from it")
    .option("--after <BATCHES>", "judge it after so many batches of each version", readNumber)
    .option("--factor <FACTOR>", "how many times as much is not worse (default: 1.5)", readNumber)
    .addOption(addressOption())
    .addHelpText("after", help)
    .action(start);
}

async function start(reference: string, options: StartOptions, command: Command): Promise<void> {
  const { share, shadow = false, after, factor } = options;
  if (factor !== undefined && after === undefined) throw usageError("--factor needs --after");
  await withLeat(command, async (leat) => {
    const { RolloutMode } = await import("@leat/sdk");
    const mode = shadow ? RolloutMode.SHADOW : RolloutMode.CANARY;
    const rule = after === undefined ? undefined : { afterBatches: after, maxFactor: factor ?? 0 };
    const { rollout } = await leat.modules.startRollout({ reference, mode, share, ...(rule && { rule }) });
    if (rollout === undefined) return;
    const what = shadow ? "runs on copies of" : "answers";
    const version = `${rollout.name}@${rollout.candidate?.version ?? ""}`;
    const where = rollout.pipelines.join(", ");
    await print(`${printable(version)} ${what} ${percent(share)} of the batches of ${printable(where)}\n`);
  });
}

function readShare(text: string): number {
  const value = text.endsWith("%") ? Number(text.slice(0, -1)) / 100 : Number(text);
  if (text.trim() === "" || !Number.isFinite(value))
    throw new InvalidArgumentError('Give a share such as "10%" or "0.1".');
  return value;
}

function readNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value) || value < 0)
    throw new InvalidArgumentError("Give a number.");
  return value;
}
