/**
 * `leat token`: tokens for the access file.
 *
 * @module
 */

import type { Command } from "commander";
import { print } from "./text-table.ts";

const help = `
The token goes to stdout: give it to the caller, and keep it nowhere else. The line for the access file goes to
stderr. It holds the token's SHA-256, from which the token cannot be found.

Examples:
  leat token new >token.txt
  LEAT_TOKEN=$(cat token.txt) leat pipeline list`;

/** Adds `token new`. */
export function addTokenCommand(program: Command): void {
  const command = program.command("token").description("make tokens for the access file");
  command
    .command("new")
    .description("make a token")
    .addHelpText("after", help)
    .action(async () => {
      const { digestOf, newToken } = await import("../access/tokens.ts");
      const token = newToken();
      await print(`${token}\n`);
      process.stderr.write(`tokens: ["sha256:${digestOf(token).toString("hex")}"]\n`);
    });
}
