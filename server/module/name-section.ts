/**
 * Decides whether V8 gets a module's names.
 *
 * At a module's first trap V8 makes a map of the names of all its functions, and puts the module's name and those of up to ten functions
 * into the text of the stack, whole. It cannot be interrupted there: a million names took 2 s and 200 MB, and a name of 20 MB a text of 20 MB on the
 * worker's heap. Names are for people, so a section beyond these bounds is left out, and traps tell functions by their numbers.
 *
 * @module
 */

import { LeatError } from "../errors.ts";
import type { ByteReader } from "./reader.ts";

/** The section's name. */
export const nameSection = "name";

/** The longest name of a module or a function, in bytes. Those that C++ and Rust make of templates have some KiB. */
const maxNameBytes = 64 * 1024;

const moduleName = 0;
const functionNames = 1;

/**
 * Whether a name section is well-formed, as far as V8 reads it, and within bounds.
 *
 * @param reader - behind the section's name, and narrowed to the section
 * @param maxFunctions - the most names of functions
 */
export function keepsBounds(reader: ByteReader, maxFunctions: number): boolean {
  try {
    let names = 0;
    while (reader.remaining > 0) {
      const kind = reader.byte("a kind of names");
      const outerEnd = reader.enter(reader.u32("the size of names"), "names");
      if (kind === moduleName) {
        if (!skipName(reader)) return false;
      } else if (kind === functionNames) {
        const count = reader.vectorLength("names");
        names += count;
        if (names > maxFunctions) return false;
        for (let left = count; left > 0; left--) {
          reader.u32("the function of a name");
          if (!skipName(reader)) return false;
        }
      } else reader.offset = reader.end;
      // Where more follows, V8 would go on there.
      reader.leave(outerEnd, "names");
    }
    return true;
  } catch (error) {
    if (error instanceof LeatError) return false;
    throw error;
  }
}

function skipName(reader: ByteReader): boolean {
  const length = reader.u32("the length of a name");
  reader.skip(length, "a name");
  return length <= maxNameBytes;
}
