/**
 * Ends workers, and waits for their threads.
 *
 * @module
 */

import type { WorkerHandle } from "./worker-handle.ts";

/**
 * How long the end of a pool waits for its workers. V8 ends a thread within milliseconds but where it compiles or makes an instance, which
 * takes some seconds at most; a thread that has not ended by then may never end.
 */
export const maxEndMs = 10_000;

/**
 * Ends workers. Resolves when all have ended, or after {@link maxEndMs}.
 *
 * @param onLeft - told how many have not ended by then
 */
export async function endAll(
  workers: readonly Pick<WorkerHandle, "stop" | "ended">[],
  onLeft: (left: number) => void,
): Promise<void> {
  for (const worker of workers) worker.stop("shutdown");
  let left = workers.length;
  const each = workers.map(async (worker) => {
    await worker.ended();
    left--;
  });
  const late = Promise.withResolvers<void>();
  const timer = setTimeout(late.resolve, maxEndMs);
  await Promise.race([Promise.all(each), late.promise]);
  clearTimeout(timer);
  if (left > 0) onLeft(left);
}
