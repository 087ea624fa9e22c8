/**
 * Modules for tests: assembled from WebAssembly text, or put together byte by byte where the text has
 * no words for what is wrong with them.
 *
 * @module
 */

import wabt from "wabt";

const assembler = await wabt();

/** Assembles WebAssembly text. Names go into the name section. Throws with the line where the text is wrong. */
export function wat(text: string): Uint8Array {
  const features = { exceptions: true, tail_call: true, extended_const: true, threads: true, memory64: true };
  const module = assembler.parseWat("test.wat", text, features);
  try {
    return Uint8Array.from(module.toBinary({ write_debug_names: true }).buffer);
  } finally {
    module.destroy();
  }
}

/** A module of the given sections. */
export function wasm(...sections: (readonly number[])[]): Uint8Array {
  return Uint8Array.from([0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, ...sections.flat()]);
}

/** A section: its id, the size of its body, its body. */
export function section(id: number, ...parts: (number | readonly number[])[]): number[] {
  const body = parts.flat();
  return [id, ...leb(body.length), ...body];
}

/** A number as unsigned LEB128. */
export function leb(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 0x7f) {
    bytes.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  return [...bytes, rest];
}

/** The smallest guest of ABI 1, which returns its input unread. `more` is added to the module. */
export function guest(more = "", transform = "(i64.const 0)"): Uint8Array {
  return wat(`(module
    ${/\(import/.test(more) ? more : ""}
    (memory (export "memory") 1)
    (func $leat_alloc (export "leat_alloc") (param i32) (result i32) (i32.const 1024))
    (func $leat_transform (export "leat_transform") (param i32 i32) (result i64) ${transform})
    ${/\(import/.test(more) ? "" : more})`);
}
