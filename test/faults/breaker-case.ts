/**
 * A module that breaks for a while under a stream: its breaker opens and closes, and no record goes missing.
 *
 * @module
 */

import { setTimeout as delay } from "node:timers/promises";
import { Leat, text } from "@leat/sdk";
import { checkDeadLetters, type FaultOrder, nothingHeld, pipelines } from "./process-cases.ts";
import { startSupervised } from "./supervised.ts";

const openMs = 300;
const batchRecords = 20;

/** Batches with a record that traps come in spells; each spell must open the breaker, and the time after it close it. */
export async function breakers({ random }: FaultOrder): Promise<string> {
  await using server = await startSupervised({
    modules: { program: "program" },
    pipelines: `${pipelines}---
name: guarded
stages:
  - module: program
    on_failure: dead_letter
    breaker: { faults: 5, window: 20, open: ${openMs}ms, probes: 2 }
`,
  });
  await using leat = new Leat(server.serve.address);
  const stage = async () => {
    const { snapshot } = await leat.metrics.metrics({ pipeline: "guarded" });
    return snapshot?.pipelines[0]?.stages[0];
  };
  const spells = 5;
  let sent = 0;
  async function* source(): AsyncGenerator<string> {
    for (let spell = 0; spell < spells; spell++) {
      const bad = new Set(
        Array.from({ length: 12 }, (_, batch) => batch * batchRecords + random.below(batchRecords)),
      );
      for (let number = 0; number < 12 * batchRecords; number++, sent++)
        yield bad.has(number) ? "t" : `m${sent}`;
      for (let good = 0; good < 10 * batchRecords || (await stage())?.breaker !== "closed"; ) {
        for (let number = 0; number < batchRecords; number++, good++, sent++) yield `m${sent}`;
        await delay(openMs / 10);
      }
    }
  }
  const codes: Record<string, number> = {};
  const letters: string[] = [];
  let delivered = 0;
  for await (const { outcomes, inputs, error } of leat.stream("guarded", source(), {
    codec: text(),
    batchRecords,
  })) {
    if (error !== undefined) throw error;
    for (const [index, outcome] of outcomes.entries()) {
      const record = String(inputs[index]);
      delivered++;
      const code = outcome.status === "failed" ? outcome.failure.code : outcome.status;
      codes[code] = (codes[code] ?? 0) + 1;
      const allowed = record === "t" ? ["trap", "breaker_open"] : ["ok", "breaker_open"];
      if (!allowed.includes(code)) throw new Error(`${record} gave ${JSON.stringify(outcome)}`);
      if (outcome.status === "failed") letters.push(outcome.failure.deadLetterId);
    }
  }
  if (delivered !== sent) throw new Error(`${delivered} of ${sent} records were delivered`);
  await checkDeadLetters(server, letters, letters.length);
  await nothingHeld(server);
  const { breaker, breakerOpened = 0n } = (await stage()) ?? {};
  if (breaker !== "closed" || breakerOpened < spells)
    throw new Error(`after ${spells} spells the breaker is ${breaker} and has opened ${breakerOpened} times`);
  const told = Object.entries(codes).map(([code, count]) => `${count} ${code}`);
  return `${spells} spells of traps: the breaker opened ${breakerOpened} times and closed again; ${told.join(", ")}; ${letters.length} dead letters, none twice`;
}
