/**
 * What is wrong with a configuration, in words an operator can act on.
 *
 * @module
 */

/** One mistake. */
export interface ConfigProblem {
  /** Where it was written: `leat.yaml:3:12`, `LEAT_LOG_LEVEL`, `--grpc-address`. */
  readonly where: string;
  /** The key, as `limits.maxBatchBytes` or `pipelines[0].stages[1].module`. */
  readonly key: string;
  /** What is wrong, with the value and what is allowed. */
  readonly problem: string;
}

/** A configuration with mistakes. It lists all of them, so that one look fixes all. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  /** The mistakes, in the order in which they were met. */
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    super(
      problems.map(({ where, key, problem }) => [where, key, problem].filter(Boolean).join(": ")).join("\n"),
    );
    this.problems = problems;
  }
}

/** The longest value that a message repeats; longer ones are cut. */
const maxShownCharacters = 80;

/** The most names that a message lists. */
const maxShownNames = 12;

/** A value as a message shows it. */
export function shown(value: unknown): string {
  const text = typeof value === "number" ? String(value) : (JSON.stringify(value) ?? String(value));
  return text.length <= maxShownCharacters ? text : `${text.slice(0, maxShownCharacters)}…`;
}

/** Says what is wrong with an unknown name, and what may have been meant. */
export function unknownName(name: string, allowed: readonly string[]): string {
  const meant = nearest(name, allowed);
  return meant === undefined
    ? `unknown key; allowed are ${allowed.slice(0, maxShownNames).join(", ")}${allowed.length > maxShownNames ? ", …" : ""}`
    : `unknown key; did you mean ${meant}?`;
}

/** The allowed name that a mistyped one is closest to; undefined when none is close. */
export function nearest(name: string, allowed: readonly string[]): string | undefined {
  const maxDistance = Math.max(2, Math.floor(name.length / 3));
  let best: { name: string; distance: number } | undefined;
  for (const candidate of allowed) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance <= maxDistance && (best === undefined || distance < best.distance)) {
      best = { name: candidate, distance };
    }
  }
  return best?.name;
}

/** How many letters must be put in, left out or changed to make one name of the other (Levenshtein). */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= b.length; column += 1) {
      const changed = (previous[column - 1] ?? 0) + (a[row - 1] === b[column - 1] ? 0 : 1);
      current.push(Math.min(changed, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1));
    }
    previous = current;
  }
  return previous[b.length] ?? 0;
}
