/**
 * Makes audit entries of calls that their caller's role does not allow.
 *
 * @module
 */

import type { Forbidden } from "../access/gate.ts";
import { noTarget } from "../store/audit-entry.ts";
import type { AuditLog } from "../store/audit-log.ts";
import { actorOf } from "./audited-service.ts";
import { changeOf } from "./method-effects.ts";

/** What to tell of calls that were refused: those that would have changed something are in the audit log. */
export function tellForbidden(audit: AuditLog): (refused: Forbidden) => void {
  return ({ error, method, principal, peer }) => {
    if (changeOf(method) === undefined) return;
    const { pipeline } = error.metadata;
    const target = { ...noTarget, ...(pipeline && { kind: "pipeline" as const, name: pipeline }) };
    audit.refused({ actor: actorOf(principal, peer), action: method, target, detail: "" }, error.reason);
  };
}
