/**
 * Audit entries of what a server does by itself while it runs.
 *
 * @module
 */

import { noTarget, serverActor } from "../store/audit-entry.ts";
import type { AuditLog } from "../store/audit-log.ts";
import { moduleTarget } from "./audited-start.ts";
import type { ModuleEntry } from "./module-catalog.ts";
import type { Rollout } from "./rollout.ts";
import { askedFor } from "./rollouts.ts";

/** Makes the entry of a module that was put in quarantine. */
export function noteHeld(
  audit: AuditLog,
  module: Pick<ModuleEntry, "name" | "version" | "digest">,
  why: string,
): void {
  void audit.note({
    actor: serverActor,
    action: "quarantine/hold",
    target: moduleTarget(module),
    detail: why,
  });
}

const rolloutActions = {
  promoted: "rollout/promote",
  rolled_back: "rollout/roll-back",
  aborted: "rollout/abort",
} as const;

/** Makes the entry of a rollout that has ended, unless a call has ended it, which has an entry of its own. */
export function noteRollout(audit: AuditLog, { candidate, state }: Rollout): void {
  if (state.t === "running" || state.why === askedFor) return;
  void audit.note({
    actor: serverActor,
    action: rolloutActions[state.t],
    target: moduleTarget(candidate),
    detail: state.why,
  });
}

/**
 * Makes the entry of a file that was taken anew.
 *
 * @param detail - what it is, and what came of it
 */
export function noteTaken(
  audit: AuditLog,
  { file, digest }: { readonly file: string; readonly digest: string },
  detail: string,
): void {
  const target = { ...noTarget, kind: "configuration" as const, name: file, digest };
  void audit.note({ actor: serverActor, action: "configuration/take", target, detail });
}

/**
 * Makes the entry of a list of signing keys that was taken anew.
 *
 * @param refused - the modules that are not served any more for it
 */
export function noteKeys(
  audit: AuditLog,
  taken: { readonly file: string; readonly digest: string },
  refused: readonly ModuleEntry[],
): void {
  const names = refused.map(({ name, version }) => `${name}@${version}`).join(", ");
  const came = refused.length === 0 ? "" : `; ${refused.length} modules are not served any more: ${names}`;
  noteTaken(audit, taken, `the list of signing keys${came}`);
}

/** Makes the entry of a module's file that was set aside since it is broken. */
export function noteBrokenFile(audit: AuditLog, digest: string, to: string): void {
  const detail = `its file is set aside as ${to}`;
  const target = moduleTarget({ digest });
  void audit.note({ actor: serverActor, action: "store/set-aside", target, detail });
}
