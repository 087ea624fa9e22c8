/**
 * Names of modules, versions, pipelines and stages, and references to modules.
 *
 * @module
 */

import { leatError } from "../errors.ts";

/** 1 to 64 characters: a lower case letter or digit, then letters, digits, `.`, `_` or `-`. */
const namePattern = /^[a-z0-9][A-Za-z0-9._-]{0,63}$/;
const digestPattern = /^sha256:[0-9a-f]{64}$/;

/** What a name must look like, for messages. */
export const nameRule =
  "1 to 64 characters: a lower case letter or digit, then letters, digits, '.', '_' or '-'";

/** Whether this is a valid name of a module, a version, a pipeline or a stage. */
export function isName(name: string): boolean {
  return namePattern.test(name);
}

/** A parsed reference to a module. */
export type ModuleReference =
  | { readonly t: "digest"; readonly digest: string }
  | { readonly t: "version"; readonly name: string; readonly version: string }
  | { readonly t: "active"; readonly name: string };

/**
 * Parses `name`, `name@version` or `sha256:…`.
 *
 * @throws LeatError REQUEST_INVALID when it is none of these
 */
export function parseReference(reference: string): ModuleReference {
  if (digestPattern.test(reference)) return { t: "digest", digest: reference };
  const at = reference.indexOf("@");
  const name = at < 0 ? reference : reference.slice(0, at);
  const version = at < 0 ? undefined : reference.slice(at + 1);
  if (!isName(name) || (version !== undefined && !isName(version))) {
    const shown = reference.length > 100 ? `${reference.slice(0, 100)}…` : reference;
    throw leatError("REQUEST_INVALID", {
      field: "module",
      problem: `"${shown}" is no reference to a module; write name, name@version or sha256:<64 hex digits>`,
    });
  }
  return version === undefined ? { t: "active", name } : { t: "version", name, version };
}

/** @throws LeatError REQUEST_INVALID when this is no name */
export function checkName(field: string, name: string): void {
  if (isName(name)) return;
  const shown = name.length > 100 ? `${name.slice(0, 100)}…` : name;
  throw leatError("REQUEST_INVALID", { field, problem: `"${shown}" is no name: ${nameRule}` });
}
