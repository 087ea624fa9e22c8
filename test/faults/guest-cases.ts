/**
 * Records that make a guest misbehave, in a stream whose others must not suffer.
 *
 * @module
 */

import { Leat, text } from "@leat/sdk";
import { type FaultOrder, happened, nothingHeld } from "./process-cases.ts";
import { serve } from "./serve-guests.ts";

/** What a record of `marked` begins with, and the code with which it fails. Each costs its instance, and some their worker. */
const poison: readonly (readonly [mark: string, code: string])[] = [
  ["!", "timeout"],
  ["~", "timeout"],
  ["#", "timeout"],
  ["%", "trap"],
  ["^", "stack_overflow"],
  ["$", "out_of_memory"],
];

/** Records that take instances and workers down, in a stream whose other records must come out. */
export async function workerLoss({ random, records }: FaultOrder): Promise<string> {
  await using server = await serve({ marked: "marked" });
  await using leat = new Leat(server.serve.address);
  const part = Math.ceil(records / 4);
  const bad = new Map(Array.from({ length: 40 }, () => [random.below(part), random.pick(poison)]));
  const pid = server.pid();
  function* source(): Generator<string> {
    for (let number = 0; number < part; number++) yield bad.get(number)?.[0] ?? `r${number}`;
  }
  let delivered = 0;
  const startMs = performance.now();
  for await (const result of leat.stream("marked", source(), { codec: text(), batchRecords: 100 })) {
    for (const outcome of result.outcomes) {
      const code = bad.get(delivered)?.[1];
      const right =
        code !== undefined
          ? outcome.status === "failed" && outcome.failure.code === code
          : outcome.status === "ok" && outcome.outputs[0] === `r${delivered}`;
      if (!right) throw new Error(`record ${delivered} gave ${JSON.stringify(outcome)}`);
      delivered++;
    }
  }
  if (delivered !== part) throw new Error(`${delivered} of ${part} records were delivered`);
  if (server.pid() !== pid) throw new Error("the server process was started again");
  const stopped = await stoppedWorkers(leat);
  happened(stopped, 1, "workers stopped");
  await nothingHeld(server);
  const seconds = (performance.now() - startMs) / 1_000;
  return `${bad.size} records looped, trapped, recursed and took memory among ${part}, and ${stopped} workers were stopped: each has its code, all others were delivered in order, in ${seconds.toFixed(1)} s`;
}

async function stoppedWorkers(leat: Leat): Promise<number> {
  const { snapshot } = await leat.metrics.metrics({});
  return Object.values(snapshot?.pool?.stopped ?? {}).reduce((sum, count) => sum + Number(count), 0);
}
