/**
 * Activates and rolls back versions under a steady stream: `npm run versions`. No record may fail, each batch must be
 * the work of one version, and the server must hold as much at the end as at the start. Printed beside that: the
 * latencies of the quiet stream and of the one during the changes. Linux only.
 *
 * @module
 */

import { setTimeout as delay } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { Leat, RecordBatchSchema, type StreamResult } from "@leat/sdk";
import { TimedStream } from "../bench/timed-stream.ts";
import { nothingHeld } from "../faults/process-cases.ts";
import { holdingsOf, startSupervised } from "../faults/supervised.ts";
import { readFlags } from "../fuzz/flags.ts";
import { moduleBytes } from "../kit/modules.ts";
import { inspectable, openInspector } from "./inspected.ts";

const usage = `npm run versions [-- --records N] [--changes N] [--rate N]

  --records N   records during the changes, and before them without (default 1000000)
  --changes N   activations and rollbacks (default 100)
  --rate N      batches of 100 records a second (default 500)`;

const { numbers } = readFlags(usage, { records: 1_000_000, changes: 100, rate: 500 });
const recordsPerBatch = 100;
const rounds = 5;
const tickMs = 10;
/** What the process may gain in memory that it can reach; one compiled module or pipeline a change would be more. */
const allowedReachableMiB = 8;

/** What a stream saw, over all its rounds. */
class Phase {
  readonly latencies: number[] = [];
  /** Batches by the version that ran them. */
  readonly versions = new Map<string, number>();
}

/** `program` takes the first character off, `marked` does not. */
const value = Buffer.from(`m${"-".repeat(250)}`);
const batch = create(RecordBatchSchema, {
  records: Array.from({ length: recordsPerBatch }, () => ({ value })),
});
const answers: Readonly<Record<string, string>> = { [value.length - 1]: "1", [value.length]: "2" };

const pipelines = "name: followed\nstages:\n  - module: followed\n";
await using server = await startSupervised({
  modules: { followed: "program" },
  pipelines,
  env: inspectable,
});
const firstPid = server.pid();
if (firstPid === undefined) throw new Error("there is no server process");
const pid = firstPid;
await using leat = new Leat(server.serve.address);
const wasm = await moduleBytes("marked");
await leat.modules.loadModule({ name: "followed", version: "2", wasm, noActivate: true });
using inspector = await openInspector(pid, () => server.serve.stderr());
const problems: string[] = [];

const quiet = new Phase();
const during = new Phase();
const changeMs: number[] = [];
await stream(new Phase(), rounds, async () => {});
const before = await held();
// In turns, so that what else the machine does falls on both alike.
for (let round = 0; round < rounds; round++) {
  await stream(quiet, rounds, async () => {});
  await stream(during, rounds, change);
}
const after = await held();

print("without changes", quiet);
print("during changes", during);
console.log(`${changeMs.length} changes, each in ${shown(changeMs)}`);
if (during.versions.size !== 2) problems.push("only one version ran during the changes");
if (after.reachableMiB > before.reachableMiB + allowedReachableMiB) problems.push("reachable memory grew");
if (after.threads > before.threads + 4) problems.push(`${before.threads} threads became ${after.threads}`);
console.log(
  `held before and after the changes: ${before.reachableMiB} and ${after.reachableMiB} MiB reachable, ` +
    `${before.rssMiB} and ${after.rssMiB} MiB resident, ${before.threads} and ${after.threads} threads`,
);
for (const share of [0.5, 0.99]) {
  const times = (quantile(during.latencies, share) / quantile(quiet.latencies, share)).toFixed(2);
  console.log(`p${share * 100} during changes: ${times} times that without`);
}
for (const problem of problems) console.log(`FAILED: ${problem}`);
if (problems.length === 0) console.log("no record failed, and each batch was the work of one version");
process.exitCode = problems.length === 0 ? 0 : 1;

/** Activates and rolls back, evenly spread over the time. */
async function change(endMs: number): Promise<void> {
  const changes = numbers.changes / rounds;
  for (let done = 0; done < changes; done++) {
    const startMs = performance.now();
    const left = endMs - startMs;
    if (changeMs.length % 2 === 0) await leat.modules.activateModule({ reference: "followed@2" });
    else await leat.modules.rollbackModule({ name: "followed" });
    changeMs.push(performance.now() - startMs);
    await delay(Math.max(0, left / (changes - done) - (performance.now() - startMs)));
  }
}

/** Sends a part of the records at the rate while something goes on, and looks at each answer. */
async function stream(
  phase: Phase,
  parts: number,
  meanwhile: (endMs: number) => Promise<void>,
): Promise<void> {
  const batches = Math.ceil(numbers.records / recordsPerBatch / parts);
  const startMs = performance.now();
  const going = meanwhile(startMs + (batches / numbers.rate) * 1_000);
  await using sending = new TimedStream(server.serve.address, "followed");
  const open: Promise<void>[] = [];
  while (open.length < batches) {
    // The rate holds whatever the server does, so a batch that waits is not forgotten.
    const due = Math.min(batches, ((performance.now() - startMs) / 1_000) * numbers.rate);
    while (open.length < due) {
      const sentMs = performance.now();
      open.push(
        sending.send(batch).then(({ result, atMs }) => {
          phase.latencies.push(atMs - sentMs);
          const version = versionOf(result);
          phase.versions.set(version, (phase.versions.get(version) ?? 0) + 1);
        }),
      );
    }
    await delay(tickMs);
  }
  await Promise.all(open);
  await going;
}

function print(what: string, { latencies, versions }: Phase): void {
  const told = [...versions].sort().map(([version, count]) => `${count} by version ${version}`);
  console.log(`${what}: ${latencies.length} batches, ${told.join(", ")}; ${shown(latencies)}`);
}

/** The version that ran a batch, which must be one. */
function versionOf({ sequence, outcome }: StreamResult): string {
  const wrong = (problem: string): string => {
    problems.push(`batch ${sequence}: ${problem}`);
    return "none";
  };
  if (outcome.case !== "result") return wrong(JSON.stringify(outcome.value?.reason));
  const { failures, batch: answer } = outcome.value;
  if (failures.length > 0) return wrong(`${failures.length} records failed`);
  const lengths = new Set(answer?.records.map((record) => record.value?.length));
  const [length] = lengths;
  if (answer?.records.length !== recordsPerBatch || lengths.size !== 1)
    return wrong(`${answer?.records.length} records of ${[...lengths].join(", ")} bytes`);
  return answers[String(length)] ?? wrong(`records of ${length} bytes`);
}

async function held() {
  await nothingHeld(server);
  await inspector.collectGarbage();
  const { snapshot } = await leat.metrics.metrics({});
  const { heapUsedBytes = 0n, externalBytes = 0n } = snapshot?.process ?? {};
  return { ...holdingsOf(pid), reachableMiB: Math.round(Number(heapUsedBytes + externalBytes) / 2 ** 20) };
}

function quantile(values: readonly number[], share: number): number {
  return values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) * share)] ?? 0;
}

function shown(values: readonly number[]): string {
  const [half, most, all] = [0.5, 0.99, 1].map((share) => quantile(values, share).toFixed(1));
  return `median ${half} ms, p99 ${most} ms, longest ${all} ms`;
}
