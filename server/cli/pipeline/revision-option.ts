/**
 * The number of a revision on the command line.
 *
 * @module
 */

import { InvalidArgumentError, Option } from "commander";

/** `--revision N`. */
export function revisionOption(description: string): Option {
  return new Option("--revision <N>", description).argParser(readRevision);
}

/** Reads a revision's number. @throws InvalidArgumentError when it is none */
export function readRevision(text: string): number {
  const revision = Number(text);
  if (/^\d+$/.test(text) && revision >= 1 && revision < 2 ** 32) return revision;
  throw new InvalidArgumentError("Give a revision's number, such as 3.");
}
