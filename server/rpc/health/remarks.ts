/**
 * What does not run although the server does, gathered over all pipelines.
 *
 * @module
 */

import type { Limits } from "../../limits.ts";
import type { Registry } from "../../registry/registry.ts";
import { type PipelineHealthParts, pipelineHealth } from "./pipeline-health.ts";
import type { HealthReason } from "./reasons.ts";

/** What remarks are gathered from. */
interface RemarkParts extends PipelineHealthParts {
  readonly registry: PipelineHealthParts["registry"] & Pick<Registry, "quarantined" | "signatures">;
  readonly limits: Readonly<Pick<Limits, "maxHealthReasons">>;
}

/**
 * One remark for each module or pipeline with which something is wrong, at most `maxHealthReasons`. None of them blocks: a
 * bad module is its pipelines' trouble, and must not take their neighbours out of service.
 */
export function gatherRemarks(parts: RemarkParts): HealthReason[] {
  const { registry } = parts;
  const { maxHealthReasons } = parts.limits;
  const found = new Map<string, HealthReason & { readonly pipelines: string[] }>();
  const add = (reason: HealthReason): void => {
    const key = `${reason.code} ${reason.module ?? reason.pipelines?.[0] ?? ""}`;
    const known = found.get(key);
    if (known !== undefined) {
      if (known.pipelines.length < maxHealthReasons) known.pipelines.push(...(reason.pipelines ?? []));
    } else if (found.size < maxHealthReasons) {
      found.set(key, { ...reason, blocking: false, pipelines: [...(reason.pipelines ?? [])] });
    }
  };
  for (const { held, entry } of registry.quarantined()) {
    const module = entry === undefined ? held.digest : `${entry.name}@${entry.version}`;
    const until =
      held.heldUntilMs === "released" ? "it is released" : new Date(held.heldUntilMs).toISOString();
    const which = entry === undefined ? module : `${module} (${held.digest})`;
    const message = `module ${which} is in quarantine since ${new Date(held.sinceMs).toISOString()} until ${until}: ${held.why}`;
    add({ code: "module_quarantined", blocking: false, message, module });
  }
  for (const { message, metadata } of registry.signatures.refusals()) {
    add({ code: "module_refused", blocking: false, message, module: metadata["module"] ?? "" });
  }
  for (const { definition } of registry.pipelines.list()) {
    for (const reason of pipelineHealth(parts, definition.name)?.reasons ?? []) {
      // That is said of the server.
      if (reason.code !== "store_down") add(reason);
    }
  }
  return [...found.values()];
}
