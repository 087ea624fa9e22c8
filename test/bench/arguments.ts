/**
 * What the bench's command line says.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { type Case, corpus, type Group } from "./corpus.ts";

/** The bench's options. */
export interface BenchOptions {
  /** The groups to run, each with only the wanted cases. */
  groups: Group[];
  rounds: number;
  /** Seconds that each run is measured in each round. */
  seconds: number;
  /** Where the JSON report goes. */
  jsonFile: string | undefined;
  /** Whether a missed goal is a failure of the command. */
  check: boolean;
}

/** Shown for `--help` and after a mistake. */
export const usage = `usage: npm run bench -- [--case NAME]... [--rounds N] [--seconds N] [--json FILE] [--check]

  --case NAME    a case or a group of cases (default: all): ${caseNames().join(", ")}
  --rounds N     rounds in which the runs of a group take turns (default 5)
  --seconds N    seconds that each run is measured in each round (default 3)
  --json FILE    write everything that was measured to FILE
  --check        exit 1 when a case misses its goal`;

/** Thrown for a command line that cannot be followed; the message says why. */
export class UsageError extends Error {
  override name = "UsageError";
}

/**
 * Reads the command line.
 *
 * @throws UsageError
 */
export function parseBenchArguments(args: readonly string[]): BenchOptions | "help" {
  const { values } = parse(args);
  if (values.help) return "help";
  return {
    groups: selectGroups(values.case ?? []),
    rounds: positive("rounds", values.rounds, true),
    seconds: positive("seconds", values.seconds, false),
    jsonFile: values.json,
    check: values.check,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        case: { type: "string", multiple: true },
        rounds: { type: "string", default: "5" },
        seconds: { type: "string", default: "3" },
        json: { type: "string" },
        check: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function positive(name: string, text: string, whole: boolean): number {
  const value = Number(text);
  if (!(value > 0) || !Number.isFinite(value) || (whole && !Number.isInteger(value))) {
    throw new UsageError(`--${name} is '${text}'; it must be a ${whole ? "whole " : ""}number above 0`);
  }
  return value;
}

function caseNames(): string[] {
  return corpus.flatMap((group) => group.cases.map(({ name }) => name));
}

/** Keeps what the names pick: a whole group by its name, one case by its own. */
function selectGroups(names: readonly string[]): Group[] {
  if (names.length === 0) return [...corpus];
  for (const name of names) {
    if (!corpus.some((group) => group.name === name) && !caseNames().includes(name)) {
      const known = [...corpus.map((group) => group.name), ...caseNames()];
      throw new UsageError(`--case is '${name}'; it must be one of ${known.join(", ")}`);
    }
  }
  const wanted = (group: Group, { name }: Case) => names.includes(group.name) || names.includes(name);
  return corpus.flatMap((group) => {
    const cases = group.cases.filter((one) => wanted(group, one));
    if (cases.length === 0) return [];
    const runs = group.runs.filter((run) => cases.some((one) => one.runs.includes(run.name)));
    return [{ ...group, cases, runs }];
  });
}
