import { setTimeout as delay } from "node:timers/promises";
import { leatError } from "../errors.ts";
import type { Limits } from "../limits.ts";
import { checkAbi, type GuestAbi } from "./abi.ts";
import type { InspectedModule } from "./inspect.ts";
import { inspectApart } from "./inspect-apart.ts";
import { printable } from "./printable.ts";

/** A module that passed all checks, compiled. */
export interface CompiledModule {
  /** `sha256:` and 64 hex digits over the bytes as they were given. */
  readonly digest: string;
  /** For V8. Post it to workers: they share its native code. */
  readonly module: WebAssembly.Module;
  /** The size of the bytes as they were given. */
  readonly sizeBytes: number;
  /** How long V8 took, in microseconds. It compiles functions at their first call. */
  readonly compileUs: number;
  /** What inspection told, without the bytes: V8 keeps those already. */
  readonly inspected: Omit<InspectedModule, "clamped">;
  /** What the module makes of the ABI's optional parts. */
  readonly abi: GuestAbi;
}

/**
 * Inspects, checks and compiles a module, off the main thread as far as V8 does it there.
 * V8 cannot be told to stop: after `MODULE_COMPILE_TIMEOUT` it goes on in the background.
 *
 * @param bytes - the binary; must not change before the promise settles
 * @throws LeatError - whatever {@link inspectApart} and {@link checkAbi} throw, `MODULE_COMPILE_FAILED`
 * and `MODULE_COMPILE_TIMEOUT`
 */
export async function compileModule(bytes: Uint8Array, limits: Readonly<Limits>): Promise<CompiledModule> {
  const { clamped, ...inspected } = await inspectApart(bytes, limits);
  const abi = checkAbi(inspected);
  const startMs = performance.now();
  const { module, endMs } = await compileWithin(
    clamped,
    limits.maxCompileMs,
    inspected.codeSectionShiftBytes,
  );
  const compileUs = Math.round((endMs - startMs) * 1_000);
  // Not at once: either copies a large module first, and holds the loop up for that.
  const digest = await digestOf(bytes);
  return { digest, module, sizeBytes: bytes.length, compileUs, inspected, abi };
}

/** The digest under which modules are stored and named: `sha256:` and 64 hex digits. */
export async function digestOf(bytes: Uint8Array): Promise<string> {
  // A view over shared memory is refused by the type, and would be no stable input anyway.
  const hash = await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>);
  return `sha256:${Buffer.from(hash).toString("hex")}`;
}

async function compileWithin(
  clamped: Uint8Array,
  maxCompileMs: number,
  shiftBytes: number,
): Promise<{ module: WebAssembly.Module; endMs: number }> {
  const startMs = performance.now();
  const timer = new AbortController();
  const compiling = WebAssembly.compile(clamped).then((module) => ({ module, endMs: performance.now() }));
  try {
    const outcome = await Promise.race([
      compiling,
      delay(maxCompileMs, undefined, { signal: timer.signal }).catch(() => undefined),
    ]);
    if (outcome !== undefined) return outcome;
  } catch (cause) {
    throw leatError("MODULE_COMPILE_FAILED", { problem: compileProblem(cause, shiftBytes) }, { cause });
  } finally {
    timer.abort();
  }
  throw leatError("MODULE_COMPILE_TIMEOUT", {
    limit: "maxCompileMs",
    value: maxCompileMs,
    measured: Math.round(performance.now() - startMs),
  });
}

/** V8's text, with its offset (`@+123`) turned back into one in the bytes that were given. */
export function compileProblem(thrown: unknown, shiftBytes: number): string {
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  const problem = text.replace(/^WebAssembly\.compile\(\): /, "");
  return printable(problem.replace(/ @\+(\d+)$/, (_, offset) => ` (byte ${Number(offset) - shiftBytes})`));
}
