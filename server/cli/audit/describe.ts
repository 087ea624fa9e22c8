/**
 * How audit entries look to people.
 *
 * @module
 */

import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { AuditEntry } from "@leat/sdk";

/** What to say of a server whose log is in memory. */
export const notDurable = "the server has no data folder: its audit log ends with it\n";

/** When a change ended. */
export function entryTime({ time }: AuditEntry): string {
  return time === undefined ? "" : timestampDate(time).toISOString();
}

/** Who made it: a principal, or what the server did by itself. */
export function actorName({ actor }: AuditEntry, startKind: number): string {
  if (actor === undefined) return "";
  if (actor.name !== "") return actor.name;
  return actor.kind === startKind ? "(start)" : "(server)";
}

/** What was changed, in one word. */
export function targetName({ target }: AuditEntry): string {
  if (target === undefined) return "";
  const { name, version, digest } = target;
  if (name === "") return digest.slice(0, 19);
  return version === "" ? name : `${name}@${version}`;
}

/** What was done: the method without its service. */
export function shortAction({ action }: AuditEntry): string {
  return action.startsWith("leat.v1.") ? action.slice(action.indexOf("/") + 1) : action;
}
