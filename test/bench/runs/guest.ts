/**
 * Runs that call a module in a plain loop, with no server around it.
 *
 * @module
 */

import type { UppercaseModule } from "../modules/uppercase.ts";
import { startGuest } from "./launch.ts";
import type { OpenRun, Run } from "./run.ts";

/** Which calls to make. */
export interface GuestCalls {
  module: UppercaseModule;
  /** `call`: into guest memory, transform, out. `own`: the guest's code alone, on what the module itself put out. */
  part: "call" | "own";
}

/** Measures a module in a loop. The unit is a batch. */
export function guestRun({ module, part }: GuestCalls): Run {
  return {
    name: `guest:${module}-${part}`,
    unit: "batch",
    async open(): Promise<OpenRun> {
      const guest = await startGuest();
      const run = (seconds: number) =>
        guest.ask("run", {
          module,
          input: part === "call" ? "original" : "output",
          copies: part === "call",
          durationMs: seconds * 1e3,
        });
      return {
        async measure(window) {
          await run(window.warmupSeconds);
          return { ...(await run(window.seconds)), clientCpuUs: 0, collections: 0 };
        },
        [Symbol.asyncDispose]: () => guest[Symbol.asyncDispose](),
      };
    },
  };
}
