/**
 * Whether a module that is loaded may run.
 *
 * @module
 */

import type { LeatError } from "../errors.ts";
import type { Quarantine } from "../supervision/quarantine.ts";
import type { ModuleEntry } from "./module-catalog.ts";
import type { ModuleSignatures } from "./module-signatures.ts";

/** Who has a say. */
export interface StandingParts {
  readonly quarantine: Quarantine;
  readonly signatures: ModuleSignatures;
}

/** Why a module must not run now: it is in quarantine, or its signature does not count. */
export function refusalOf(
  { quarantine, signatures }: StandingParts,
  { digest, name, version }: Pick<ModuleEntry, "digest" | "name" | "version">,
): LeatError | undefined {
  return quarantine.refusal(digest, `${name}@${version}`) ?? signatures.refusal(name, version);
}

/**
 * Refuses a module that must not run now.
 *
 * @throws LeatError MODULE_QUARANTINED, MODULE_UNSIGNED, MODULE_SIGNATURE_MALFORMED, MODULE_SIGNATURE_INVALID,
 * MODULE_SIGNER_UNKNOWN, MODULE_SIGNER_REFUSED
 */
export function checkMayRun(parts: StandingParts, entry: ModuleEntry): void {
  const refused = refusalOf(parts, entry);
  if (refused !== undefined) throw refused;
}
