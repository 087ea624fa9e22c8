/**
 * Judges what inspection says of function bodies: by what they were made of, and by where V8 sees their operators.
 *
 * @module
 */

import { LeatError } from "../../server/errors.ts";
import type { Limits } from "../../server/limits.ts";
import { inspectModule } from "../../server/module/inspect.ts";
import type { MadeModule } from "./function-bodies.ts";

/** No operator, and none that could become one by what follows. */
const noOperator = 0xff;

function refusal(bytes: Uint8Array, limits: Readonly<Limits>): LeatError | undefined {
  try {
    inspectModule(bytes, limits);
    return undefined;
  } catch (error) {
    if (error instanceof LeatError) return error;
    throw error;
  }
}

/**
 * Holds inspection to what a module was made of.
 *
 * @returns what came of it, in a word to count
 * @throws Error when what must be refused is admitted or found elsewhere, or a valid body is refused that has nothing of the kind
 */
export function judge({ bytes, refused }: MadeModule, limits: Readonly<Limits>): string {
  const valid = WebAssembly.validate(bytes);
  const error = refusal(bytes, limits);
  if (refused === undefined) {
    if (error !== undefined && valid) throw new Error(`a valid body is refused: ${error.message}`);
    return `${valid ? "valid" : "invalid"}, ${error === undefined ? "admitted" : "refused"}`;
  }
  if (error === undefined) throw new Error(`${refused.name} at byte ${refused.start} is admitted`);
  const offset = Number(error.metadata["offset"]);
  if (error.reason !== "MODULE_FEATURE_REFUSED" || offset < refused.start || offset >= refused.end)
    throw new Error(`${refused.name} at byte ${refused.start} is not what is refused: ${error.message}`);
  return `${valid ? "valid" : "invalid"}, refused`;
}

/**
 * Puts what is no operator at one place of a valid module that inspection admits. V8 and inspection name that place if an operator begins
 * there, and something else or nothing if none does: they must do it both or neither.
 *
 * @throws Error where only one of them sees an operator
 */
export function checkBoundary(bytes: Uint8Array, at: number, limits: Readonly<Limits>): void {
  const broken = Uint8Array.from(bytes);
  broken[at] = noOperator;
  const error = refusal(broken, limits);
  // In a constant expression it is malformed rather than refused.
  const named = error !== undefined && /the operator 0xff/.test(error.message);
  const seen = named && Number(error.metadata["offset"]) === at;
  const seenByV8 = problemOfV8(broken).endsWith(`Invalid opcode 0xff @+${at}`);
  if (seen !== seenByV8)
    throw new Error(`${seen ? "inspection" : "V8"} alone sees an operator at byte ${at}`);
}

function problemOfV8(bytes: Uint8Array<ArrayBuffer>): string {
  try {
    new WebAssembly.Module(bytes);
    return "";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
