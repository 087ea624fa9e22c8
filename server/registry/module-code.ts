/**
 * Makes a module's code ready for the place where it will run: compiled here for threads of this process, else only
 * checked, so that V8 meets it in the process that runs it.
 *
 * @module
 */

import type { Isolation, ModuleCode } from "../bridge/pipeline-spec.ts";
import type { Limits } from "../limits.ts";
import { checkAbi } from "../module/abi.ts";
import { type CompiledModule, compileModule, digestOf } from "../module/compile.ts";
import { inspectApart } from "../module/inspect-apart.ts";

/** A module that passed all checks, with its code. */
export interface ReadyModule extends Omit<CompiledModule, "module"> {
  readonly code: ModuleCode;
}

/** A compiled module. */
export function compiledCode({ module, ...facts }: CompiledModule): ReadyModule {
  return { ...facts, code: { t: "compiled", module } };
}

/**
 * Checks a module, and compiles it where threads run it.
 *
 * @throws LeatError as `compileModule` does; without compilation, what is wrong in bodies is found by its first run
 */
export async function makeCode(
  wasm: Uint8Array,
  isolation: Isolation,
  limits: Readonly<Limits>,
): Promise<ReadyModule> {
  if (isolation === "thread") return compiledCode(await compileModule(wasm, limits));
  const { clamped, ...inspected } = await inspectApart(wasm, limits);
  const abi = checkAbi(inspected);
  const digest = await digestOf(wasm);
  return {
    digest,
    sizeBytes: wasm.length,
    compileUs: 0,
    inspected,
    abi,
    code: { t: "binary", clamped: Uint8Array.from(clamped) },
  };
}
