/**
 * `leat health`.
 *
 * @module
 */

import { type Command, Option } from "commander";
import { time } from "../config/kinds.ts";
import { withLeat } from "./connection.ts";
import { CommandError } from "./failure.ts";
import { addressOption, readAs } from "./options.ts";
import { print } from "./text-table.ts";

interface HealthOptions {
  readonly pipeline?: string;
  readonly service?: string;
  readonly timeout: number;
}

const defaultTimeoutMs = 5_000;

const help = `
Prints "serving" and exits with 0, or says why not on stderr and exits with 1. Made for probes of containers:

  HEALTHCHECK CMD ["leat", "health"]

It starts a Node process each time, so where a probe can speak HTTP, GET /readyz is cheaper; that also has the reasons.

Examples:
  leat health
  leat health --pipeline orders --timeout 2s`;

/** Adds `health`. */
export function addHealthCommand(program: Command): void {
  program
    .command("health")
    .description("ask whether a server, or one of its pipelines, serves")
    .option("-p, --pipeline <NAME>", "ask about a stored pipeline")
    .addOption(
      new Option("--service <NAME>", "ask about a service, such as leat.v1.TransformService").conflicts(
        "pipeline",
      ),
    )
    .option(
      "--timeout <TIME>",
      "how long to wait for the answer (default: 5s)",
      readAs(time(1)),
      defaultTimeoutMs,
    )
    .addOption(addressOption())
    .addHelpText("after", help)
    .action(check);
}

async function check({ pipeline, service = "", timeout }: HealthOptions, command: Command): Promise<void> {
  const { HealthCheckResponse_ServingStatus: ServingStatus } = await import("@leat/sdk");
  await withLeat(command, async ({ health }) => {
    const asked = pipeline === undefined ? service : `pipeline/${pipeline}`;
    const { status } = await health.check({ service: asked }, { timeoutMs: timeout });
    if (status !== ServingStatus.SERVING)
      throw new CommandError("not serving; GET /readyz?verbose tells why");
    await print("serving\n");
  });
}
