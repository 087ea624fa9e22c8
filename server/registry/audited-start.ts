/**
 * Audit entries of what a server does when it starts: nobody calls it for that.
 *
 * @module
 */

import { LeatError } from "../errors.ts";
import { shownKeyId } from "../signing/keys.ts";
import { type AuditTarget, auditOk, noTarget, startActor } from "../store/audit-entry.ts";
import type { AuditLog } from "../store/audit-log.ts";
import type { BookEntry } from "../supervision/quarantine-book.ts";
import type { ModuleEntry } from "./module-catalog.ts";
import type { ModuleSignature } from "./module-signatures.ts";
import type { PipelineRevisions } from "./pipeline-revisions.ts";
import type { Registry } from "./registry.ts";
import type { Restored } from "./restore.ts";

/** What is put into a server before it takes calls. */
export interface StartRegistry extends Pick<Registry, "load"> {
  readonly revisions: Pick<PipelineRevisions, "put">;
}

/** A module's version as an entry's target. */
export function moduleTarget({
  name = "",
  version = "",
  digest = "",
}: Partial<Pick<ModuleEntry, "name" | "version" | "digest">>): AuditTarget {
  return { ...noTarget, kind: "module", name, version, digest };
}

/** The ids of the keys whose signatures of a module count. */
function signersOf({ judgement }: ModuleSignature): string[] {
  return (judgement?.findings ?? []).flatMap((finding) =>
    finding.t === "signed" ? [shownKeyId(finding.key.key.id) || finding.key.name] : [],
  );
}

/** The same registry, with an entry for each change and for each refusal. What was there already makes none: every start finds it. */
export function auditedStart(registry: Registry, audit: AuditLog): StartRegistry {
  const refused = async (action: string, target: AuditTarget, error: unknown): Promise<never> => {
    await audit.note({ actor: startActor, action, target, detail: "" }, LeatError.from(error).reason);
    throw error;
  };
  return {
    load: async (load) => {
      const action = "start/load-module";
      const loaded = await registry
        .load(load)
        .catch((error) => refused(action, moduleTarget({ name: load.name, version: load.version }), error));
      const target = { ...moduleTarget(loaded.entry), signers: signersOf(loaded.signature) };
      if (!loaded.alreadyLoaded) await audit.note({ actor: startActor, action, target, detail: "" });
      return loaded;
    },
    revisions: {
      put: async (pipeline, options) => {
        const action = "start/put-pipeline";
        const target: AuditTarget = { ...noTarget, kind: "pipeline", name: pipeline.name };
        const put = await registry.revisions
          .put(pipeline, options)
          .catch((error) => refused(action, target, error));
        const version = String(put.definition.revision);
        if (!put.unchanged)
          await audit.note({ actor: startActor, action, target: { ...target, version }, detail: "" });
        return put;
      },
    },
  };
}

/** Makes the entry of what was taken up from an earlier server, and one of each part of it that cannot be used. */
export async function noteRestored(
  audit: AuditLog,
  { modules, pipelines, problems }: Restored,
): Promise<void> {
  const server: AuditTarget = { ...noTarget, kind: "server" };
  const base = { actor: startActor, action: "start/restore", target: server };
  await audit.note({ ...base, detail: `${modules} modules, ${pipelines} pipelines` });
  for (const problem of problems) await audit.note({ ...base, detail: problem }, "STORE_UNAVAILABLE");
}

/** By how much the clocks that the book and the log are kept by may differ. */
const clockSlackMs = 10_000;

/** Makes an entry of each module that was put in quarantine while no server could say so: its supervisor did that. */
export async function noteQuarantined(
  audit: AuditLog,
  held: readonly { readonly held: BookEntry; readonly entry: ModuleEntry | undefined }[],
): Promise<void> {
  for (const { held: found, entry } of held) {
    const { digest, sinceMs, why } = found;
    const action = "quarantine/hold";
    // One that was said before is not news at every start.
    const saidMs = Math.floor(sinceMs) - clockSlackMs;
    const said = await audit
      .list({ action, target: digest, sinceMs: saidMs, outcome: auditOk }, 1)
      .catch(() => undefined);
    if (said === undefined || said.entries.length > 0) continue;
    const target = moduleTarget({ ...entry, digest });
    await audit.note({ actor: startActor, action, target, detail: why });
  }
}
