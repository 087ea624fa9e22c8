/**
 * The two guest modules that do the bench's job: one made with the AssemblyScript kit, one written by hand.
 *
 * @module
 */

import { loadExample } from "@leat/examples";

/** `uppercase` is made with the kit, `uppercase-raw` is load and store instructions. */
export type UppercaseModule = "uppercase" | "uppercase-raw";

/** Loads one of them from `@leat/examples`, which builds it when its source has changed. */
export async function loadUppercase(name: UppercaseModule): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await loadExample(name));
}
