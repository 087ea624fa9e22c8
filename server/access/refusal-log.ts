/**
 * Tells the log of refused calls, and not of each when there are many: whoever tries tokens must not fill the disk.
 *
 * @module
 */

import type { Clock } from "../clock.ts";
import type { LeatError } from "../errors.ts";
import { LineBudget } from "../telemetry/line-budget.ts";
import type { Logger } from "../telemetry/logger.ts";

/** Logs refusals. No line has anything of what the caller showed. */
export class RefusalLog {
  readonly #logger: Pick<Logger, "warn">;
  readonly #budget: LineBudget;

  constructor(logger: Pick<Logger, "warn">, clock: Clock, maxLinesPerSecond: number) {
    this.#logger = logger;
    this.#budget = new LineBudget(clock, maxLinesPerSecond);
  }

  /** A call was refused. @param principal - the caller's name, where it is known */
  refused({ reason, cause }: LeatError, method: string, principal: string | undefined): void {
    const line = this.#budget.take();
    if (line === undefined) return;
    this.#logger.warn(
      {
        reason,
        method: method.slice(0, 100),
        ...(principal === undefined ? {} : { principal }),
        ...(cause === undefined ? {} : { problem: nameOf(cause) }),
        ...line,
      },
      "a call was refused",
    );
  }
}

/** A cause by its class or code: its message could quote what the caller sent. */
function nameOf(cause: unknown): string {
  if (!(cause instanceof Error)) return "unknown";
  const code = "code" in cause && typeof cause.code === "string" ? cause.code : cause.name;
  return cause.cause instanceof Error ? `${code} (${nameOf(cause.cause)})` : code;
}
