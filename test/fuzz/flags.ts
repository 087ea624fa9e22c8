/**
 * The command lines of suites that run on request.
 *
 * @module
 */

import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";

/** A fresh seed. */
export function freshSeed(): number {
  return randomInt(2 ** 31);
}

/**
 * Reads `--name NUMBER` and `--case NAME`. Ends the process with usage and exit code 2 when something else stands there.
 *
 * @param usage - what `--help` shows
 * @param defaults - every number that may be given
 * @param cases - every case that may be named
 */
export function readFlags<Name extends string>(
  usage: string,
  defaults: Readonly<Record<Name, number>>,
  cases: readonly string[] = [],
): { numbers: Record<Name, number>; cases: readonly string[] } {
  const names = Object.keys(defaults) as Name[];
  try {
    const { values } = parseArgs({
      options: {
        help: { type: "boolean" },
        case: { type: "string", multiple: true },
        ...Object.fromEntries(names.map((name) => [name, { type: "string" as const }])),
      },
    });
    if (values["help"] === true) end(usage, 0);
    const given = values as Partial<Record<string, string>>;
    const numbers: Record<Name, number> = { ...defaults };
    for (const name of names) {
      const number = given[name] === undefined ? defaults[name] : Number(given[name]);
      if (!Number.isFinite(number) || number < 0) throw new Error(`--${name} must be a number of at least 0`);
      numbers[name] = number;
    }
    const chosen = (values["case"] as string[] | undefined) ?? [];
    for (const name of chosen)
      if (!cases.includes(name)) throw new Error(`--case is one of ${cases.join(", ")}`);
    return { numbers, cases: chosen.length === 0 ? cases : chosen };
  } catch (error) {
    return end(`${error instanceof Error ? error.message : String(error)}\n\n${usage}`, 2);
  }
}

function end(text: string, code: number): never {
  process.stderr.write(`${text}\n`);
  process.exit(code);
}
