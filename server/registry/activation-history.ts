/**
 * Which versions of a module were active, and which one a rollback goes back to.
 *
 * @module
 */

import type { Activation } from "../store/registry-store.ts";

/**
 * The versions that were active and were not gone back from, newest last. The last one is active.
 *
 * After 1, 2, 3 and a rollback that is 1, 2: the next rollback goes to 1, and not to 3 again.
 *
 * @param history - oldest first
 */
export function standingActivations(history: readonly Activation[]): Activation[] {
  const standing: Activation[] = [];
  for (const activation of history) {
    const back = activation.cause === "rollback" || activation.cause === "unload";
    if (back) while (standing.length > 0 && standing.at(-1)?.version !== activation.version) standing.pop();
    if (standing.at(-1)?.version !== activation.version) standing.push(activation);
  }
  return standing;
}

/** The version that was active before the one that is, of those that `isThere` still knows. */
export function previousVersion(
  history: readonly Activation[],
  isThere: (version: string) => boolean,
): string | undefined {
  const standing = standingActivations(history);
  const active = standing.at(-1)?.version;
  return standing.findLast(({ version }) => version !== active && isThere(version))?.version;
}
