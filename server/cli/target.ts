/**
 * `--pipeline` and `--module`: what records run through.
 *
 * @module
 */

import type { TargetInput } from "@leat/sdk";
import { type Command, Option } from "commander";
import { usageError } from "./failure.ts";
import { collect } from "./options.ts";

/** What {@link addTargetOptions} adds. */
export interface TargetOptions {
  readonly pipeline?: string;
  readonly module?: readonly string[];
}

/** Adds the options. */
export function addTargetOptions(command: Command): Command {
  return command
    .option("-p, --pipeline <NAME>", "a stored pipeline to run")
    .addOption(
      new Option("-m, --module <MODULE>", "a loaded module to run; repeated, they run one after the other")
        .argParser(collect)
        .conflicts("pipeline"),
    );
}

/** What the options name. @throws CommandError when they name nothing */
export function targetOf({ pipeline, module }: TargetOptions): TargetInput {
  if (pipeline !== undefined) return pipeline;
  if (module !== undefined) return { modules: module };
  throw usageError("say what to run: --pipeline NAME, or --module MODULE");
}
