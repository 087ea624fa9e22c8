/**
 * Shows where a server's time goes, or with `--allocations` where it allocates JavaScript objects, by thread
 * and function, under one kind of load: `npm run profile -- --case stream|unary|stages [--allocations]
 * [--subject leat|echo|connect|extism] [--seconds N] [--top N]`.
 *
 * The .cpuprofile and .heapprofile files stay in the folder that is printed, for Chrome's developer tools.
 *
 * @module
 */

import { mkdtemp, readdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import type { Child } from "./child.ts";
import { summarizeProfile } from "./cpu-profile.ts";
import { summarizeHeapProfile } from "./heap-profile.ts";
import type { LoadHandlers } from "./load/load.ts";
import { describeMachine } from "./machine.ts";
import { formatMachine } from "./report.ts";
import { type SubjectName, startLoadProcess } from "./runs/launch.ts";
import { cpuPerUnit, rate, type Sample } from "./runs/run.ts";
import { measureLoad, type ReadyServer, readyServer, streamOrder, unaryOrder } from "./runs/served.ts";

const root = new URL("../../", import.meta.url);

/** Loads that can be profiled: how many stages Leat gets, and what the client does. */
const cases = {
  stream: { stages: 1, order: streamOrder },
  stages: { stages: 3, order: streamOrder },
  unary: { stages: 1, order: unaryOrder },
};
const subjects: readonly string[] = [
  "leat",
  "echo",
  "echo-plain",
  "connect",
  "extism",
] satisfies SubjectName[];

const { values } = parseArgs({
  options: {
    case: { type: "string", default: "stream" },
    subject: { type: "string", default: "leat" },
    seconds: { type: "string", default: "5" },
    top: { type: "string", default: "25" },
    allocations: { type: "boolean", default: false },
  },
});
const name = values.case.split("/")[0] ?? "";
if (!(name in cases) || !subjects.includes(values.subject)) {
  console.error(
    `--case must be one of ${Object.keys(cases).join(", ")}; --subject one of ${subjects.join(", ")}`,
  );
  process.exit(2);
}
const { stages, order } = cases[name as keyof typeof cases];
const window = { warmupSeconds: 2, seconds: Number(values.seconds) };
const directory = await mkdtemp(path.join(tmpdir(), "leat-profile-"));
console.log(formatMachine(describeMachine()));
{
  await using load = await startLoadProcess();
  const server = await readyServer(values.subject as SubjectName, {
    stages,
    extraFlags: values.allocations ? [] : ["--cpu-prof", `--cpu-prof-dir=${directory}`],
  });
  await using subject = server.subject;
  if (values.allocations) await profileAllocations(load, server);
  else await profileTime(load, server);
  await subject.ask("close");
}
if (!values.allocations) await printTimes();
console.log(`\nprofiles in ${directory}`);

async function profileTime(load: Child<LoadHandlers>, server: ReadyServer): Promise<void> {
  const sample = await measureLoad({ load }, server.subject, order(server), window);
  printSample(sample);
}

function printSample(sample: Sample): void {
  console.log(
    `${name} on ${values.subject}: ${rate(sample).toFixed(0)}/s, CPU ${cpuPerUnit(sample).toFixed(1)} µs each (with the profiler on)`,
  );
}

/** The files are there once the process has ended. */
async function printTimes(): Promise<void> {
  // Named CPU.date.time.pid.thread.sequence.cpuprofile; the main thread is 0.
  const files = (await readdir(directory)).toSorted();
  for (const file of files) {
    const main = file.split(".").at(-3) === "0";
    const thread = summarizeProfile(await readFile(path.join(directory, file), "utf8"), main, root);
    const busyMs = thread.totalMs - thread.idleMs;
    console.log(
      `\n${main ? "main thread" : "worker"}: busy ${busyMs.toFixed(0)} of ${thread.totalMs.toFixed(0)} ms`,
    );
    for (const { what, selfMs } of thread.functions.slice(0, Number(values.top))) {
      printLine((selfMs / busyMs) * 100, `${selfMs.toFixed(0).padStart(6)} ms`, what);
    }
  }
}

async function profileAllocations(load: Child<LoadHandlers>, server: ReadyServer): Promise<void> {
  // Once without sampling, so that the optimiser has done its part: optimised code allocates less.
  printSample(await measureLoad({ load }, server.subject, order(server), window));
  await server.subject.ask("startHeapProfiles");
  const { units } = await measureLoad({ load }, server.subject, order(server), {
    ...window,
    warmupSeconds: 0,
  });
  for (const [index, { main, json }] of (await server.subject.ask("stopHeapProfiles")).entries()) {
    await writeFile(path.join(directory, `thread-${index}.heapprofile`), json);
    const sites = summarizeHeapProfile(json, root);
    const total = sites.reduce((sum, site) => sum + site.bytes, 0);
    console.log(`\n${main ? "main thread" : "worker"}: ${(total / units).toFixed(0)} B each`);
    for (const { what, bytes } of sites.slice(0, Number(values.top))) {
      printLine((bytes / total) * 100, `${(bytes / units).toFixed(0).padStart(6)} B`, what);
    }
  }
}

function printLine(percent: number, amount: string, what: string): void {
  console.log(`  ${percent.toFixed(1).padStart(5)} %  ${amount}  ${what}`);
}
