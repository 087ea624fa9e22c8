/**
 * Measures what poison records cost a batch: `npm run bench:poison [-- --runs N] [--limit MS]`. Exits with 1 when one of
 * them is not named, or when few of them, named by the guest, cost a neighbour its result.
 *
 * A batch of 1,000 records has 1, 3 and 100 on which the guest traps, loops for ever or takes all memory. One guest says
 * which record it works on, the other says nothing. Printed, as medians: how long the call took, the instances made for
 * it, the workers stopped, and what became of the good records in the batch.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { Leat } from "@leat/sdk";
import { markedNaming, moduleBytes } from "../kit/modules.ts";
import { judgeGoal, reportGoals, type Verdict } from "./goals.ts";
import { describeMachine } from "./machine.ts";
import { formatMachine } from "./report.ts";
import { startSubject } from "./runs/launch.ts";
import { pause } from "./runs/run.ts";
import { median } from "./statistics.ts";

const { values } = parseArgs({
  options: { runs: { type: "string", default: "5" }, limit: { type: "string", default: "100" } },
});
const runs = Number(values.runs);
const limitMs = Number(values.limit);
if (!(runs >= 1) || !(limitMs >= 1)) {
  console.error("--runs and --limit must be numbers of at least 1");
  process.exit(2);
}

const batchRecords = 1_000;
const poisonCounts = [1, 3, 100];
/** So few named records cost their neighbours nothing; what more may cost in all is bounded, and the rest then fails. */
const fewPoison = 3;
/** What `marked.wat` takes each for, and the codes that it may get. */
const poisons = { trap: "%", timeout: "!", out_of_memory: "$" };
type Code = keyof typeof poisons;
const guests = { named: await moduleBytes("marked"), silent: await markedNaming("silent") };
type Naming = keyof typeof guests;
/** Between two runs: long enough for the pool to warm a new spare. */
const restSeconds = 0.3;

/** What one batch cost. */
interface Cost {
  readonly ms: number;
  readonly instances: number;
  readonly stopped: number;
  /** Poison records that got their own code. */
  readonly named: number;
  /** Good records that failed. */
  readonly lost: number;
}

// A module that is to stop workers in each run must not be put in quarantine for it.
await using subject = await startSubject("leat", { args: [JSON.stringify({ maxWorkerStops: 0 })] });
await using leat = new Leat(await subject.ask("address"));
for (const [name, wasm] of Object.entries(guests)) {
  await leat.modules.loadModule({ name, version: "1", wasm });
  const limits = { recordTimeoutMs: limitMs, batchTimeoutMs: limitMs * 5 };
  const stages = [{ name, module: name, limits, breaker: { disabled: true } }];
  await leat.pipelines.putPipeline({ pipeline: { name, stages } });
}
console.log(formatMachine(describeMachine()));
console.log(
  `batches of ${batchRecords}, ${runs} runs, limit ${limitMs} ms a record and ${limitMs * 5} ms a batch; medians\n`,
);
console.log(
  "| poison records | guest | ms | instances made | workers stopped | named | good records that failed |",
);
console.log("|---|---|---|---|---|---|---|");
const verdicts: Verdict[] = [];
for (const code of Object.keys(poisons) as Code[])
  for (const naming of Object.keys(guests) as Naming[])
    for (const count of poisonCounts) verdicts.push(...(await measure(code, naming, count)));
console.log();
reportGoals(verdicts.filter(({ met }) => !met));
if (verdicts.every(({ met }) => met)) console.log(`all ${verdicts.length} goals met`);

async function measure(code: Code, naming: Naming, count: number): Promise<Verdict[]> {
  const costs: Cost[] = [];
  for (let run = 0; run < runs; run++) {
    costs.push(await runOnce(code, naming, count));
    await pause(restSeconds);
  }
  const of = (read: (cost: Cost) => number): number => median(costs.map(read));
  const cells = [
    `${count} × \`${code}\``,
    naming,
    of(({ ms }) => ms).toFixed(0),
    of(({ instances }) => instances),
    of(({ stopped }) => stopped),
    `${of(({ named }) => named)} of ${count}`,
    of(({ lost }) => lost),
  ];
  console.log(`| ${cells.join(" | ")} |`);
  if (naming !== "named" || count > fewPoison) return [];
  const what = `${count} records that end with ${code}, named by the guest`;
  const quietMachine = code === "timeout";
  return [
    judgeGoal(
      { what: `${what}: not found`, most: 0, unit: "records", quietMachine },
      count - Math.min(...costs.map(({ named }) => named)),
    ),
    judgeGoal(
      { what: `${what}: good records that failed`, most: 0, unit: "records", quietMachine },
      Math.max(...costs.map(({ lost }) => lost)),
    ),
  ];
}

async function runOnce(code: Code, naming: Naming, count: number): Promise<Cost> {
  // Evenly spread, none at an end.
  const poisoned = new Set(
    Array.from({ length: count }, (_, index) => Math.floor(((index + 0.5) * batchRecords) / count)),
  );
  const records = Array.from({ length: batchRecords }, (_, index) => ({
    value: poisoned.has(index) ? poisons[code] : `r${index}`,
  }));
  // The instance and the optimised code are there before the poison comes.
  await leat.transform(naming, [{ value: "warm" }]);
  const before = await countsOf(naming);
  const startMs = performance.now();
  const { outcomes } = await leat.transform(naming, records, { timeoutMs: 120_000 });
  const ms = performance.now() - startMs;
  const after = await countsOf(naming);
  let named = 0;
  let lost = 0;
  for (const [index, outcome] of outcomes.entries()) {
    const failed = outcome.status === "failed";
    if (poisoned.has(index)) {
      if (!failed) throw new Error(`poison record ${index} had success`);
      if (outcome.failure.code === code) named++;
    } else if (failed) lost++;
    else if (outcome.status !== "ok" || outcome.outputs.length !== 1)
      throw new Error(`record ${index} gave ${JSON.stringify(outcome)}`);
  }
  if (outcomes.length !== batchRecords) throw new Error(`${outcomes.length} of ${batchRecords} came back`);
  return {
    ms,
    named,
    lost,
    instances: after.instances - before.instances,
    stopped: after.stopped - before.stopped,
  };
}

async function countsOf(pipeline: string): Promise<{ instances: number; stopped: number }> {
  const { snapshot } = await leat.metrics.metrics({});
  const stages = snapshot?.pipelines.find((each) => each.pipeline === pipeline)?.stages ?? [];
  return {
    instances: stages.reduce((sum, { instancesCreated }) => sum + Number(instancesCreated), 0),
    stopped: Object.values(snapshot?.pool?.stopped ?? {}).reduce((sum, times) => sum + Number(times), 0),
  };
}
