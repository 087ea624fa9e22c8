/**
 * A clock for tests.
 *
 * @module
 */

import type { Clock } from "../../server/clock.ts";

/** A clock that says what it is told to say. */
export function clockOf(nowMs: () => number): Clock {
  return { nowMs, wallMs: nowMs };
}
