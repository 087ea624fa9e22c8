/**
 * A subcommand's connection to a server.
 *
 * @module
 */

import type { Leat, TargetInput } from "@leat/sdk";
import type { Command } from "commander";
import { CommandError, usageError } from "./failure.ts";
import { addressOf, credentialsOf } from "./options.ts";

/**
 * Runs something with a client of the server that the command names, and closes it.
 *
 * @throws CommandError when no server answers there
 */
export async function withLeat<T>(command: Command, use: (leat: Leat) => Promise<T>): Promise<T> {
  // The client takes half a second to load, which `leat --help` need not wait for.
  const { Code, defaultAddress, Leat, LeatCallError } = await import("@leat/sdk");
  const given = addressOf(command) ?? defaultAddress;
  const addresses = given.split(",").map((address) => address.trim());
  const open = (): Leat => {
    try {
      return new Leat({ addresses, ...credentialsOf(command) });
    } catch (error) {
      if (error instanceof CommandError) throw error;
      throw usageError(`--address: ${(error as Error).message}`);
    }
  };
  await using leat = open();
  try {
    return await use(leat);
  } catch (error) {
    // A server that answers with UNAVAILABLE gives its reason.
    if (error instanceof LeatCallError && error.code === Code.Unavailable && error.reason === "") {
      throw new CommandError(
        `UNAVAILABLE: no server answers at ${given} (${causeOf(error.message)}); start one with "leat serve", or name another with --address or LEAT_ADDRESS`,
      );
    }
    throw error;
  }
}

/** What the operating system said, out of what grpc-js wraps around it. */
function causeOf(message: string): string {
  return /\w+ E[A-Z]+ \S*\w/.exec(message)?.[0] ?? message;
}

/** Asks for what records shall run through, so that a wrong name is told before any input is read. */
export async function checkTarget(leat: Leat, target: TargetInput): Promise<void> {
  if (typeof target === "string") await leat.pipelines.getPipeline({ name: target });
  else for (const reference of target.modules) await leat.modules.getModule({ reference });
}
