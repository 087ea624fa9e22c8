/**
 * Whether grants reach far enough.
 *
 * @module
 */

import { type Grant, type Role, roles } from "../config/access-file.ts";

/** The pattern that stands for all pipelines, and the server itself. */
const everything = "*";

function covers(grant: Grant, role: Role): boolean {
  return roles.indexOf(grant.role) >= roles.indexOf(role);
}

/** Whether there is a grant of a role or of one above it, for whichever pipelines. */
export function holds(grants: readonly Grant[], role: Role): boolean {
  return grants.some((grant) => covers(grant, role));
}

/** Whether a role is granted for all pipelines, and with it for the server itself. */
export function holdsForAll(grants: readonly Grant[], role: Role): boolean {
  return grants.some((grant) => covers(grant, role) && grant.pipelines.includes(everything));
}

/** Whether a role is granted for a pipeline. */
export function holdsFor(grants: readonly Grant[], role: Role, pipeline: string): boolean {
  return grants.some(
    (grant) => covers(grant, role) && grant.pipelines.some((pattern) => matches(pattern, pipeline)),
  );
}

/** Whether chains that calls bring along may be run. */
export function holdsForInline(grants: readonly Grant[]): boolean {
  return grants.some((grant) => covers(grant, "data") && grant.inline);
}

/** Compares a name with a pattern in one pass: the text between stars must follow in order. */
function matches(pattern: string, name: string): boolean {
  const [first = "", ...rest] = pattern.split("*");
  if (rest.length === 0) return pattern === name;
  const last = rest.pop() ?? "";
  if (!name.startsWith(first)) return false;
  let at = first.length;
  for (const part of rest) {
    const found = name.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return name.length - last.length >= at && name.endsWith(last);
}
