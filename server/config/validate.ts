/**
 * Checks what somebody wrote against a schema, and turns what zod finds into mistakes that name
 * the key, the value and what is allowed.
 *
 * @module
 */

import { z } from "zod";
import { type ConfigProblem, shown, unknownName } from "./config-error.ts";
import type { Kind } from "./kinds.ts";

/** A path into a document: keys of mappings and places in lists. */
export type Path = readonly (string | number)[];

/** A required value of a kind. */
export function value<T>(kind: Kind<T>) {
  return z
    .unknown()
    .transform((input, context): T => {
      const parsed = kind.parse(input);
      if (parsed !== undefined) return parsed;
      context.addIssue({ code: "custom", message: kind.allowed });
      return z.NEVER;
    })
    .meta({
      ...kind.json,
      description: `${kind.allowed.slice(0, 1).toUpperCase()}${kind.allowed.slice(1)}.`,
    });
}

/** A mapping that has these keys and no others. */
export function mapping<Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  // For an unknown key the message is the list of the allowed ones: it is all that is known here.
  return z.strictObject(shape, {
    error: ({ code }) =>
      code === "unrecognized_keys" ? Object.keys(shape).join(", ") : "a mapping of keys to values",
  });
}

/** A list of at least one entry and at most `max`. */
export function list<Entry extends z.ZodType>(entry: Entry, what: string, max: number) {
  const allowed = `a list of 1 to ${max} ${what}`;
  return z.array(entry, { error: allowed }).min(1, { error: allowed }).max(max, { error: allowed });
}

/** What a check gave. */
export type Checked<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly problems: ConfigProblem[] };

/**
 * Checks a value.
 *
 * @param where - says where the value at a path was written, or the key at it where `ofKey`
 */
export function check<T>(
  schema: z.ZodType<T>,
  input: unknown,
  where: (path: Path, ofKey: boolean) => string,
): Checked<T> {
  const result = schema.safeParse(input);
  if (result.success) return { ok: true, value: result.data };
  const problems = result.error.issues.flatMap((issue): ConfigProblem[] => {
    const path = issue.path.filter((part) => typeof part !== "symbol");
    if (issue.code === "unrecognized_keys") {
      const allowed = issue.message.split(", ");
      return issue.keys.map((key) => ({
        where: where([...path, key], true),
        key: formatPath([...path, key]),
        problem: unknownName(key, allowed),
      }));
    }
    const found = valueAt(input, path);
    const problem =
      found === undefined
        ? `missing; give ${issue.message}`
        : `${shown(found)} is not allowed; give ${issue.message}`;
    return [{ where: where(path, false), key: formatPath(path), problem }];
  });
  return { ok: false, problems };
}

/** A path as messages write it: `pipelines[0].stages[1].module`. */
export function formatPath(path: Path): string {
  return path
    .map((part, place) => (typeof part === "number" ? `[${part}]` : place === 0 ? part : `.${part}`))
    .join("");
}

function valueAt(input: unknown, path: Path): unknown {
  let found = input;
  for (const part of path) {
    if (typeof found !== "object" || found === null) return undefined;
    found = (found as Record<string | number, unknown>)[part];
  }
  return found;
}
