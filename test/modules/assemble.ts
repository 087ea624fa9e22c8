/**
 * Turns the sources in this folder, and others like them, into modules.
 *
 * @module
 */

import { spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import wabt from "wabt";

/**
 * Assembles a file of WebAssembly text. Names go into the name section.
 *
 * @param path - the `.wat` file
 * @throws with the line where the text is wrong
 */
export async function assembleWat(path: string): Promise<Uint8Array<ArrayBuffer>> {
  const [{ parseWat }, text] = await Promise.all([wabt(), readFile(path, "utf8")]);
  const module = parseWat(basename(path), text, {
    simd: true,
    bulk_memory: true,
    tail_call: true,
    exceptions: true,
  });
  try {
    return Uint8Array.from(module.toBinary({ write_debug_names: true }).buffer);
  } finally {
    module.destroy();
  }
}

/** Why C cannot be compiled to WebAssembly on this machine, or undefined when it can. */
export const missingCompiler: string | undefined = whyNoCompiler();

function whyNoCompiler(): string | undefined {
  const targets = spawnSync("clang", ["--print-targets"], { encoding: "utf8" });
  if (targets.status !== 0) return "there is no clang";
  if (!/^\s*wasm32\b/m.test(targets.stdout)) return "clang has no target wasm32";
  return spawnSync("wasm-ld", ["--version"]).status === 0 ? undefined : "there is no wasm-ld (Debian: lld)";
}

/**
 * Compiles a freestanding C file. Only where {@link missingCompiler} is undefined.
 *
 * @param path - the `.c` file
 * @throws with the compiler's messages
 */
export async function compileC(path: string): Promise<Uint8Array<ArrayBuffer>> {
  const folder = await mkdtemp(join(tmpdir(), "leat-c-"));
  try {
    const output = join(folder, "module.wasm");
    const flags = [
      "--target=wasm32",
      "-O3",
      "-msimd128",
      "-mbulk-memory",
      "-nostdlib",
      "-Wall",
      "-Wextra",
      "-Werror",
    ];
    const run = spawnSync("clang", [...flags, "-Wl,--no-entry", "-o", output, path], { encoding: "utf8" });
    if (run.status !== 0) throw new Error(`clang failed on ${path}:\n${run.stderr}`);
    return Uint8Array.from(await readFile(output));
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** The path of a source in this folder. */
export function moduleSource(name: "uppercase.wat" | "uppercase.c"): string {
  return fileURLToPath(new URL(name, import.meta.url));
}
