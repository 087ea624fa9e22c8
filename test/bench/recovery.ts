/**
 * Measures how Leat gets over a module that runs away: `npm run bench:recovery [-- --runs N] [--limit MS]`.
 * Exits with 1 when a goal is missed.
 *
 * A batch with one record on which the guest loops for ever goes through one pipeline, a good batch right behind
 * it: once with nothing else to do, for which the goals are, and once while a healthy stream keeps another pipeline, and with
 * its client two cores, busy. Printed, as medians with their spread: a good batch's way; from the record's limit to the bad
 * batch's answer (the 99 neighbours of the record are in it), to the next good batch of the same stream, and to the next
 * answer of the healthy stream; and the healthy stream's longest time without an answer. The limit is counted from the
 * moment the client sent the batch, so the figures include the way to the guest and back. The server keeps compiled
 * code, as one that `leat serve` starts does.
 *
 * @module
 */

import { rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { RecordBatch } from "@leat/proto";
import { makeBatch, recordsPerBatch } from "./fixtures.ts";
import { judgeGoal, type MeasuredGoal, reportGoals, type Verdict } from "./goals.ts";
import { describeMachine } from "./machine.ts";
import { buildModule } from "./modules/build.ts";
import { loadUppercase } from "./modules/uppercase.ts";
import { formatMachine } from "./report.ts";
import { setUpLeat, startSubject } from "./runs/launch.ts";
import { pause } from "./runs/run.ts";
import { median, type Summary, summarize } from "./statistics.ts";
import { HealthyStream, type TimedAnswer, TimedStream } from "./timed-stream.ts";

const { values } = parseArgs({
  options: { runs: { type: "string", default: "50" }, limit: { type: "string", default: "200" } },
});
const runs = Number(values.runs);
const limitMs = Number(values.limit);
if (!(runs >= 1) || !(limitMs >= 1)) {
  console.error("--runs and --limit must be numbers of at least 1");
  process.exit(2);
}

/** What the guest does on a record, by the first byte of its value, and the most that it may cost beyond its limit, in milliseconds. */
const loops = {
  "plain loop": { mark: 1, goalMs: 10 },
  "loop of 30 MB memory.fill": { mark: 2, goalMs: 200 },
  "loop of memory.copy over all memory": { mark: 3, goalMs: 200 },
  "loop of table.fill over the largest table": { mark: 4, goalMs: 200 },
};
const badIndex = recordsPerBatch >> 1;
/** Between two runs: long enough for the pool to warm a new spare. */
const restSeconds = 0.3;

/** One run's times, in milliseconds. */
interface Recovery {
  /** A good batch's way there and back, right before. */
  usual: number;
  badBatch: number;
  nextBatch: number;
  /** Of the healthy stream, where there is one. */
  healthy: { next: number; longestGap: number } | undefined;
}

// A module that is to stop a worker in each run must not be put in quarantine for it.
const compiled = await mkdtemp(join(tmpdir(), "leat-recovery-"));
process.once("exit", () => rmSync(compiled, { recursive: true, force: true }));
process.env["NODE_COMPILE_CACHE"] = compiled;
await using subject = await startSubject("leat", { args: [JSON.stringify({ maxWorkerStops: 0 })] });
const address = await subject.ask("address");
await setUpLeat(address, {
  modules: { runaway: await buildModule("runaway"), uppercase: await loadUppercase("uppercase") },
  pipelines: {
    runaway: [{ module: "runaway", recordTimeoutMs: limitMs, batchTimeoutMs: limitMs * 4 }],
    healthy: [{ module: "uppercase" }],
  },
});
console.log(`${formatMachine(describeMachine())}\n${runs} runs, limit ${limitMs} ms a record; times in ms\n`);
const verdicts: Verdict[] = [];
for (const [name, { mark, goalMs }] of Object.entries(loops)) {
  const alone = await recoverOften(mark, false);
  print(`${name}, nothing else to do`, alone);
  verdicts.push(judgeGoal(goalOf(name, goalMs), median(alone.map(beyondUsual))));
  print(`${name}, beside a healthy stream`, await recoverOften(mark, true));
}
console.log();
reportGoals(verdicts);

async function recoverOften(mark: number, beside: boolean): Promise<Recovery[]> {
  const recoveries: Recovery[] = [];
  for (let run = 0; run < runs; run++) {
    recoveries.push(await recover(mark, beside));
    await pause(restSeconds);
  }
  return recoveries;
}

/** Less a good batch's way: that is no part of what the runaway costs. */
function beyondUsual({ nextBatch, usual }: Recovery): number {
  return nextBatch - usual;
}

function goalOf(name: string, most: number): MeasuredGoal {
  return {
    what: `${name}: limit to the next good batch, less a good batch's way, median of ${runs} runs`,
    most,
    unit: "ms",
    quietMachine: true,
  };
}

async function recover(mark: number, beside: boolean): Promise<Recovery> {
  const healthy = beside ? new HealthyStream(address, "healthy") : undefined;
  await using stream = new TimedStream(address, "runaway");
  // The module is instantiated and the healthy stream flows before the bad record comes.
  checkGood(await stream.send(makeBatch()));
  await pause(restSeconds);
  const usualSentAtMs = performance.now();
  const usual = await stream.send(makeBatch());
  checkGood(usual);
  const sentAtMs = performance.now();
  const [bad, next] = await Promise.all([stream.send(badBatch(mark)), stream.send(makeBatch())]);
  await pause(restSeconds);
  await healthy?.stop();
  checkBad(bad);
  checkGood(next);
  const limitAtMs = sentAtMs + limitMs;
  return {
    usual: usual.atMs - usualSentAtMs,
    badBatch: bad.atMs - limitAtMs,
    nextBatch: next.atMs - limitAtMs,
    healthy: healthy && gapsOf(healthy.answersAtMs, sentAtMs, limitAtMs),
  };
}

function gapsOf(answers: readonly number[], sentAtMs: number, limitAtMs: number): Recovery["healthy"] {
  const gaps = answers.slice(1).flatMap((atMs, i) => (atMs >= sentAtMs ? [atMs - (answers[i] ?? atMs)] : []));
  const next = (answers.find((atMs) => atMs >= limitAtMs) ?? Number.NaN) - limitAtMs;
  return { next, longestGap: Math.max(...gaps) };
}

function badBatch(mark: number): RecordBatch {
  const batch = makeBatch();
  const record = batch.records[badIndex];
  if (record) record.value = Uint8Array.of(mark);
  return batch;
}

function checkBad({ result: { outcome } }: TimedAnswer): void {
  if (outcome.case !== "result") throw new Error("the bad batch got no result");
  const { failures, batch } = outcome.value;
  const [failure] = failures;
  if (failures.length !== 1 || failure?.index !== badIndex || failure.code !== "timeout") {
    throw new Error(`expected record ${badIndex} to fail with timeout, got ${JSON.stringify(failures)}`);
  }
  if (batch?.records.length !== recordsPerBatch - 1) {
    throw new Error(`${batch?.records.length} neighbours of the bad record came back`);
  }
}

function checkGood({ result: { outcome } }: TimedAnswer): void {
  if (outcome.case !== "result" || outcome.value.failures.length > 0) throw new Error("a good batch failed");
}

function print(name: string, recoveries: readonly Recovery[]): void {
  const line = (what: string, pick: (recovery: Recovery) => number | undefined) => {
    const found = recoveries.map(pick).filter((ms) => ms !== undefined);
    if (found.length > 0) console.log(`  ${what.padEnd(58)} ${spread(summarize(found))}`);
  };
  console.log(name);
  line("a good batch's way to the guest and back, right before", (recovery) => recovery.usual);
  line("limit to the bad batch's answer with its 99 neighbours", (recovery) => recovery.badBatch);
  line("limit to the next good batch of the same stream", (recovery) => recovery.nextBatch);
  line("the same, less a good batch's way", beyondUsual);
  line("limit to the next answer of the healthy stream", ({ healthy }) => healthy?.next);
  line("healthy stream: longest time without an answer", ({ healthy }) => healthy?.longestGap);
}

function spread({ median, min, max }: Summary): string {
  return `${median.toFixed(1).padStart(6)}   (${min.toFixed(1)} … ${max.toFixed(1)})`;
}
