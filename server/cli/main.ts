/**
 * The process of the `leat` command: arguments in, exit code out.
 *
 * @module
 */

import { runCommand } from "./program.ts";

// Whoever read our output has gone, as `head` does. That is no failure, and there is nobody left to tell.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});
process.stderr.on("error", () => {});

const exitCode = await runCommand(process.argv.slice(2));
// What the last command wrote leaves first; a standard input that nobody will read on must not hold the process.
process.stdout.write("", () => process.exit(exitCode));
