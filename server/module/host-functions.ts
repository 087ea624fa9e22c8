import { guestLogLevels, hostModule, wasiModule } from "./abi.ts";
import type { GuestMemory } from "./guest-memory.ts";
import { raise } from "./raise.ts";
import { Wasi } from "./wasi.ts";

/**
 * What the host does for one guest. What a method throws ends the guest's run: it cannot catch it,
 * and it comes out of the call as it was thrown if it is a `HostAbort`.
 */
export interface GuestHost {
  /** The guest says which record of the batch it works on from now on; `index` is unsigned and may be any. */
  beginRecord(index: number): void;
  /** A line of the guest's log; level 0 debug, 1 info, 2 warn, 3 error. */
  log(level: number, text: string): void;
  /** Milliseconds since the Unix epoch. */
  nowMs(): number;
  /** The guest adds to a counter of its own; `delta` is finite and above 0. */
  counterAdd(name: string, delta: number): void;
}

/** The bounds on what a guest hands to host functions. */
export interface HostFunctionLimits {
  /** A log line; longer ones are cut. */
  maxLogLineBytes: number;
  /** A counter's name; longer ones are cut. */
  maxCounterNameBytes: number;
}

/** What to instantiate a guest with. */
export interface HostImports {
  readonly imports: WebAssembly.Imports;
  /** Logs what the guest wrote without a line end. Call it when the guest has returned. */
  readonly flush: () => void;
}

/** Whether a module imports from WASI, by module: asking V8 costs more than instantiating a small one. */
const usesWasi = new WeakMap<WebAssembly.Module, boolean>();

/** Makes the functions that `module` may import, over one instance's memory. */
export function hostImports(
  module: WebAssembly.Module,
  memory: GuestMemory,
  host: GuestHost,
  limits: HostFunctionLimits,
): HostImports {
  const imports: WebAssembly.Imports = { [hostModule]: leatImports(memory, host, limits) };
  let wantsWasi = usesWasi.get(module);
  if (wantsWasi === undefined) {
    wantsWasi = WebAssembly.Module.imports(module).some((wanted) => wanted.module === wasiModule);
    usesWasi.set(module, wantsWasi);
  }
  if (!wantsWasi) return { imports, flush: () => {} };
  const wasi = new Wasi(memory, host, limits.maxLogLineBytes);
  imports[wasiModule] = wasi.imports();
  return { imports, flush: () => wasi.flush() };
}

function leatImports(
  memory: GuestMemory,
  host: GuestHost,
  limits: HostFunctionLimits,
): Record<string, WebAssembly.ImportValue> {
  let warnedOfDelta = false;
  const counterAdd = (pointer: number, length: number, delta: number): void => {
    const name = memory.text(pointer, length, limits.maxCounterNameBytes, "leat.counter_add");
    if (Number.isFinite(delta) && delta > 0) {
      host.counterAdd(name, delta);
      return;
    }
    // A counter only grows. One bad sum must not fail records; saying so once is enough.
    if (delta === 0 || warnedOfDelta) return;
    warnedOfDelta = true;
    host.log(
      guestLogLevels.warn,
      `leat.counter_add: ${delta} is no addition to the counter ${name}; ignored`,
    );
  };
  return {
    begin_record: (index: number) => {
      try {
        host.beginRecord(index >>> 0);
      } catch (reason) {
        raise(reason);
      }
    },
    log: (level: number, pointer: number, length: number) => {
      try {
        const text = memory.text(pointer, length, limits.maxLogLineBytes, "leat.log");
        host.log(Math.min(Math.max(level, guestLogLevels.debug), guestLogLevels.error), text);
      } catch (reason) {
        raise(reason);
      }
    },
    now_ms: () => {
      try {
        return BigInt(Math.floor(host.nowMs()));
      } catch (reason) {
        return raise(reason);
      }
    },
    counter_add: (pointer: number, length: number, delta: number) => {
      try {
        counterAdd(pointer, length, delta);
      } catch (reason) {
        raise(reason);
      }
    },
  };
}
