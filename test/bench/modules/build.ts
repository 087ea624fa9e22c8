/**
 * Turns this folder's `.wat` sources into modules.
 *
 * @module
 */

import { readFile } from "node:fs/promises";
import wabt from "wabt";

/** A module whose source is in this folder. */
export type BenchModule = "plain-uppercase" | "extism-uppercase" | "runaway";

/** Assembles one of this folder's modules. */
export async function buildModule(name: BenchModule): Promise<Uint8Array<ArrayBuffer>> {
  const file = new URL(`${name}.wat`, import.meta.url);
  const module = (await wabt()).parseWat(file.pathname, await readFile(file, "utf8"), { bulk_memory: true });
  try {
    return new Uint8Array(module.toBinary({}).buffer);
  } finally {
    module.destroy();
  }
}
