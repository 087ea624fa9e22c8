/**
 * V8's flags for guests.
 *
 * @module
 */

import { setFlagsFromString } from "node:v8";
import { type Limits, wasmPageBytes } from "../limits.ts";

/**
 * Sets the flags that V8 must have before it compiles the first module; they hold for the whole process.
 *
 * The tiering budget makes V8's baseline code look often enough for a request to stop: a loop of bulk operations
 * else runs on for minutes after its worker was terminated. The other two are backstops behind the clamping of modules.
 */
export function setEngineFlags(limits: Readonly<Limits>): void {
  setFlagsFromString("--wasm-tiering-budget=10000");
  setFlagsFromString(`--wasm-max-mem-pages=${Math.ceil(limits.maxGuestMemoryBytes / wasmPageBytes)}`);
  setFlagsFromString(`--wasm-max-table-size=${limits.maxTableEntries}`);
}
