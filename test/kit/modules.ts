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
  return markedWith("(call $begin_record (local.get $index)))", `${namings[naming]})`);
}

/** `marked.wat` that keeps an exception of so many values at each step of its recursion. */
export async function markedThrowing(values: number): Promise<Uint8Array> {
  const recursion =
    "(i32.add (call $recurse (i32.add (local.get $depth) (i32.const 1))) (local.get $depth)))";
  const heavy = `(throw $heavy ${"(i64.const -1) ".repeat(values)})`;
  return markedWith(
    recursion,
    `(try (do ${heavy}) (catch_all (drop (call $recurse (local.get $depth))))) (i32.const 0))
    (tag $heavy (param ${"i64 ".repeat(values)}))`,
  );
}

/** `marked.wat` with such tables of 100,000 functions each. */
export async function markedWithTables(tables: number): Promise<Uint8Array> {
  const memory = '(memory (export "memory") 128)';
  return markedWith(memory, `${memory} ${"(table 100000 100000 funcref) ".repeat(tables)}`);
}

/** `marked.wat` with something in place of a text that is in it once. */
async function markedWith(before: string, after: string): Promise<Uint8Array> {
  const parts = (await moduleText("marked")).split(before);
  if (parts.length !== 2) throw new Error(`marked.wat has changed: ${before} is not in it once`);
  return wat(parts.join(after));
}

async function moduleText(name: string): Promise<string> {
  return readFile(new URL(`../modules/${name}.wat`, import.meta.url), "utf8");
}
