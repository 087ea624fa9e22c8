/**
 * Guests in the test's own thread, with a host that remembers what they say.
 *
 * @module
 */

import { resolveLimits } from "../../server/limits.ts";
import { checkAbi } from "../../server/module/abi.ts";
import { inspectModule } from "../../server/module/inspect.ts";
import { type GuestHost, GuestInstance } from "../../server/module/instance.ts";
import { GuestFault } from "../../server/module/trap.ts";

/** Small enough that a test can exhaust them. */
export const limits = resolveLimits({ maxGuestMemoryBytes: 80 * 65_536 });

/** Remembers what a guest says. Its clock stands still. */
export class RecordingHost implements GuestHost {
  readonly records: number[] = [];
  readonly lines: [level: number, text: string][] = [];
  readonly counts: [name: string, delta: number][] = [];
  beginRecord(index: number): void {
    this.records.push(index);
  }
  log(level: number, text: string): void {
    this.lines.push([level, text]);
  }
  nowMs(): number {
    return 1_700_000_000_123.9;
  }
  counterAdd(name: string, delta: number): void {
    this.counts.push([name, delta]);
  }
}

/** Inspects, compiles and instantiates a module as the server does. */
export function create(bytes: Uint8Array, host: GuestHost = new RecordingHost(), config = ""): GuestInstance {
  const inspected = inspectModule(bytes, limits);
  checkAbi(inspected);
  const module = new WebAssembly.Module(inspected.clamped);
  const { codeSectionShiftBytes } = inspected;
  return GuestInstance.create(module, config, host, { ...limits, codeSectionShiftBytes });
}

/** The fault that a guest's call ends with. */
export function faultOf(act: () => unknown): GuestFault {
  try {
    act();
  } catch (thrown) {
    if (thrown instanceof GuestFault) return thrown;
    throw thrown;
  }
  throw new Error("there was no fault");
}

/** Calls a module once, with no input. */
export function run(bytes: Uint8Array, host?: GuestHost): void {
  create(bytes, host).transform(0, 0);
}
