/**
 * `leat dead-letters`: the subcommands about records that pipelines gave up on.
 *
 * @module
 */

import type { Command } from "commander";
import { addListCommand } from "./list.ts";
import { addPurgeCommand } from "./purge.ts";
import { addReplayCommand } from "./replay.ts";
import { addShowCommand } from "./show.ts";

const help = `
A stage with "on_failure: dead_letter" keeps the records that it fails. They stay until they are replayed
or purged, or until they grow too old (limits maxDeadLetterAgeMs, maxDeadLetterBytes); beyond the end
of the server only where it has a folder for them ("leat serve --data DIR").

Examples:
  leat dead-letters list --pipeline orders --since 2h
  leat dead-letters show 5b0c1d
  leat dead-letters replay --pipeline orders --code timeout
  leat dead-letters purge --until 2026-01-01`;

/** Adds `dead-letters` with its subcommands. */
export function addDeadLetterCommands(program: Command): void {
  const letters = program
    .command("dead-letters")
    .description("list, show, replay and purge records that pipelines gave up on")
    .addHelpText("after", help);
  addListCommand(letters);
  addShowCommand(letters);
  addReplayCommand(letters);
  addPurgeCommand(letters);
}
