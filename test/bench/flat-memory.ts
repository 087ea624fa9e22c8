/**
 * Shows that a long stream does not make the server grow: streams 10 million records through Leat and prints
 * its memory on the way. `npm run bench:memory [-- --records N] [--subject leat|echo]`. Exits with 1 when the server grows.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { recordsPerBatch } from "./fixtures.ts";
import { judgeGoal, reportGoals } from "./goals.ts";
import { describeMachine } from "./machine.ts";
import { formatMachine } from "./report.ts";
import { type SubjectName, startLoadProcess } from "./runs/launch.ts";
import { readyServer, streamOrder } from "./runs/served.ts";

const { values } = parseArgs({
  options: {
    records: { type: "string", default: "10000000" },
    subject: { type: "string", default: "leat" },
  },
});
const total = Number(values.records);
if (!Number.isSafeInteger(total) || total < 10 * recordsPerBatch) {
  console.error(
    `--records is '${values.records}'; it must be a whole number of at least ${10 * recordsPerBatch}`,
  );
  process.exit(2);
}
if (values.subject !== "leat" && values.subject !== "echo") {
  console.error(`--subject is '${values.subject}'; it must be leat or echo`);
  process.exit(2);
}

/** What may be resident at the end more than after the first tenth, when buffers and heaps have their size. */
const growthGoal = { what: "growth from a tenth to the end", most: 10, unit: "%", quietMachine: false };
/** Parts of the stream at which memory is looked at. */
const marks = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1];
const mebibytes = (bytes = Number.NaN) => (bytes / 2 ** 20).toFixed(0).padStart(6);

await using load = await startLoadProcess();
const server = await readyServer(values.subject satisfies SubjectName);
await using subject = server.subject;

console.log(`${formatMachine(describeMachine())}\n`);
console.log("   records    RSS  heap used  external  array buffers, in MiB");
await printMemory(0);
const rss: number[] = [];
await load.ask("start", { ...streamOrder(server), batches: 0 });
const start = performance.now();
let batches = 0;
for (const mark of marks) {
  const upTo = Math.round((total * mark) / recordsPerBatch);
  await load.ask("advance", upTo - batches);
  batches = upTo;
  rss.push(await printMemory(batches * recordsPerBatch));
}
const seconds = (performance.now() - start) / 1e3;
await load.ask("stop");
console.log(
  `\n${total} records in ${seconds.toFixed(1)} s: ${Math.round(total / seconds)} records/s, one stream, batches of ${recordsPerBatch}`,
);

console.log(
  `RSS at a tenth, at half and at the end, in MiB: ${[rss[0], rss[4], rss[9]].map(mebibytes).join(",")}`,
);
reportGoals([judgeGoal(growthGoal, ((rss[9] ?? Number.NaN) / (rss[0] ?? Number.NaN) - 1) * 100)]);

/** Prints a line and returns the resident bytes. */
async function printMemory(records: number): Promise<number> {
  const memory = await subject.ask("memory");
  console.log(
    `${String(records).padStart(10)} ${mebibytes(memory.rss)}     ${mebibytes(memory.heapUsed)}    ${mebibytes(memory.external)}         ${mebibytes(memory.arrayBuffers)}`,
  );
  return memory.rss;
}
