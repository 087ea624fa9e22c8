/**
 * Compiles a module in the process that runs it.
 *
 * @module
 */

import { setTimeout as delay } from "node:timers/promises";
import { compileProblem } from "../module/compile.ts";

/**
 * V8 cannot be told to stop: what takes longer goes on in the background.
 *
 * @param codeSectionShiftBytes - how many bytes longer the code section's offset is than in the original binary
 * @throws Error with V8's text and its offset in the bytes that were loaded, or with the limit that was exceeded
 */
export async function compileWithin(
  binary: Uint8Array,
  codeSectionShiftBytes: number,
  maxCompileMs: number,
): Promise<WebAssembly.Module> {
  const timer = new AbortController();
  try {
    const compiled = await Promise.race([
      WebAssembly.compile(Uint8Array.from(binary)),
      delay(maxCompileMs, undefined, { signal: timer.signal }).catch(() => undefined),
    ]);
    if (compiled !== undefined) return compiled;
  } catch (cause) {
    throw new Error(compileProblem(cause, codeSectionShiftBytes), { cause });
  } finally {
    timer.abort();
  }
  throw new Error(`it takes longer than ${maxCompileMs} ms, which maxCompileMs allows`);
}
