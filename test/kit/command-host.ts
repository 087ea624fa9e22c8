/**
 * The process behind `callCommand`: runs the commands that it is told as the process of each would.
 *
 * @module
 */

import { Readable } from "node:stream";
import { runCommand } from "../../server/cli/program.ts";

/** A command to run. The next one comes when this one has ended. */
export interface CommandCall {
  /** What ends its output, on stdout and on stderr. */
  readonly mark: string;
  readonly args: readonly string[];
  readonly cwd: string;
  /** All of its environment. */
  readonly env: Readonly<Record<string, string>>;
  /** What it reads from stdin. */
  readonly input: string | Uint8Array;
}

async function run({ mark, args, cwd, env, input }: CommandCall): Promise<void> {
  process.chdir(cwd);
  for (const name of Object.keys(process.env)) delete process.env[name];
  Object.assign(process.env, env);
  const stdin = Readable.from(input.length === 0 ? [] : [Buffer.from(input as string)]);
  Object.defineProperty(process, "stdin", { configurable: true, value: stdin });
  const code = await runCommand(args);
  process.stdout.write(mark);
  process.stderr.write(mark);
  process.send?.(code);
}

process.on("message", (call: CommandCall) => void run(call));
// Whoever asked has gone.
process.on("disconnect", () => process.exit());
