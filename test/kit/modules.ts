/**
 * The modules that tests run: `test/modules/*.wat`, some of them with a line changed, and the built examples.
 *
 * @module
 */

import { readFile } from "node:fs/promises";
import { type ExampleName, exampleNames, loadExample } from "@leat/examples";
import { wat } from "./wat.ts";

/** A module: a file of `test/modules` without `.wat`, the name of an example, or bytes. */
export type ModuleSource = string | Uint8Array;

/** Bytes of a module. */
export async function moduleBytes(source: ModuleSource): Promise<Uint8Array> {
  if (typeof source !== "string") return source;
  if ((exampleNames as readonly string[]).includes(source)) return loadExample(source as ExampleName);
  return wat(await moduleText(source));
}

/** What `marked.wat` says of the record that it works on, in place of the truth. */
export const namings = {
  /** Nothing at all. */
  silent: "",
  /** Always the first record. */
  first: "(call $begin_record (i32.const 0))",
  /** The one after. */
  next: "(call $begin_record (i32.add (local.get $index) (i32.const 1)))",
  /** One below zero. */
  negative: "(call $begin_record (i32.sub (i32.const -1) (local.get $index)))",
  /** One beyond any batch. */
  huge: "(call $begin_record (i32.add (local.get $index) (i32.const 1000000)))",
} as const;

/** `marked.wat` that lies about the record it works on. */
export async function markedNaming(naming: keyof typeof namings): Promise<Uint8Array> {
  const truth = "(call $begin_record (local.get $index)))";
  const text = await moduleText("marked");
  const parts = text.split(truth);
  if (parts.length !== 2)
    throw new Error("marked.wat has changed: its line that names the record was not found");
  return wat(parts.join(`${namings[naming]})`));
}

async function moduleText(name: string): Promise<string> {
  return readFile(new URL(`../modules/${name}.wat`, import.meta.url), "utf8");
}
