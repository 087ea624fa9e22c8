/**
 * What is said of a setting of a pipeline that is beyond a limit of the server's.
 *
 * @module
 */

import { type LeatError, leatError } from "../errors.ts";
import type { Limits } from "../limits.ts";

/**
 * The error about a field that may have whole values from some least one up to a limit.
 *
 * @param measured - what it has
 */
export function beyondLimit(
  field: string,
  measured: number | bigint,
  least: number,
  limit: keyof Limits,
  value: number,
): LeatError {
  const problem = `${measured} is outside of ${least} to ${value}, the server's ${limit}`;
  return leatError("PIPELINE_INVALID", { field, problem, limit, value, measured: Number(measured) });
}

/**
 * The error about a field that has more of something than a limit allows.
 *
 * @param unit - what is measured, as `bytes`; empty where the limit's name says it
 */
export function overLimit(
  field: string,
  measured: number,
  limit: keyof Limits,
  value: number,
  unit = "",
): LeatError {
  const problem = `measured ${measured}${unit && ` ${unit}`}, the limit ${limit} is ${value}`;
  return leatError("PIPELINE_INVALID", { field, problem, limit, value, measured });
}
