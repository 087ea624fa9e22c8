/**
 * The two guest modules that do the bench's job: one made with the AssemblyScript kit, one written by hand.
 *
 * @module
 */

import { buildModule } from "./build.ts";

/** `uppercase` is made with the kit, `uppercase-raw` is load and store instructions. */
export type UppercaseModule = "uppercase" | "uppercase-raw";

/** Loads one of them from `@leat/examples`. */
export async function loadUppercase(_name: UppercaseModule): Promise<Uint8Array<ArrayBuffer>> {
  return buildModule("uppercase");
}
