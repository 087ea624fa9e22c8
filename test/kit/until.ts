/**
 * Waits for what must come true.
 *
 * @module
 */

import { setTimeout as delay } from "node:timers/promises";

const defaultMs = 20_000;

/**
 * Resolves as soon as the condition holds. For what other threads or the network bring about, never
 * for what must not happen.
 *
 * @param what - names the condition when it never comes true
 * @param longestMs - when to give up
 */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  longestMs = defaultMs,
): Promise<void> {
  const endMs = performance.now() + longestMs;
  while (!(await condition())) {
    if (performance.now() > endMs) throw new Error(`never came true: ${what}`);
    await delay(1);
  }
}
