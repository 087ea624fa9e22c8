/**
 * Shows where a server's time goes under one kind of load:
 * `npm run profile -- --case stream|unary|stages [--subject leat|echo|connect|extism] [--seconds N] [--top N]`.
 *
 * The .cpuprofile files stay in the folder that is printed, for Chrome's developer tools.
 *
 * @module
 */

import { mkdtemp, readdir, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { summarizeProfile, type ThreadProfile } from "./cpu-profile.ts";
import { describeMachine } from "./machine.ts";
import { formatMachine } from "./report.ts";
import { type SubjectName, startLoadProcess } from "./runs/launch.ts";
import { cpuPerUnit, rate } from "./runs/run.ts";
import { measureLoad, readyServer, streamOrder, unaryOrder } from "./runs/served.ts";

const root = new URL("../../", import.meta.url);

/** Loads that can be profiled: how many stages Leat gets, and what the client does. */
const cases = {
  stream: { stages: 1, order: streamOrder },
  stages: { stages: 3, order: streamOrder },
  unary: { stages: 1, order: unaryOrder },
};

const { values } = parseArgs({
  options: {
    case: { type: "string", default: "stream" },
    subject: { type: "string", default: "leat" },
    seconds: { type: "string", default: "5" },
    top: { type: "string", default: "25" },
  },
});
const subjects: readonly string[] = ["leat", "echo", "connect", "extism"] satisfies SubjectName[];
const name = values.case.split("/")[0] ?? "";
if (!(name in cases) || !subjects.includes(values.subject)) {
  console.error(
    `--case must be one of ${Object.keys(cases).join(", ")}; --subject one of ${subjects.join(", ")}`,
  );
  process.exit(2);
}
const { stages, order } = cases[name as keyof typeof cases];
const directory = await mkdtemp(path.join(tmpdir(), "leat-profile-"));
{
  await using load = await startLoadProcess();
  const server = await readyServer(values.subject as SubjectName, {
    stages,
    extraFlags: ["--cpu-prof", `--cpu-prof-dir=${directory}`],
  });
  await using subject = server.subject;
  const sample = await measureLoad({ load }, subject, order(server), {
    warmupSeconds: 2,
    seconds: Number(values.seconds),
  });
  console.log(formatMachine(describeMachine()));
  console.log(
    `${name} on ${values.subject}: ${rate(sample).toFixed(0)}/s, CPU ${cpuPerUnit(sample).toFixed(1)} µs each (with the profiler on)`,
  );
  await subject.ask("close");
}
const threads = await readProfiles();
for (const thread of threads.toSorted((a, b) => Number(b.main) - Number(a.main))) print(thread);
console.log(`\nprofiles in ${directory}`);

/** Files are named CPU.date.time.pid.thread.sequence.cpuprofile; the main thread is 0. */
async function readProfiles(): Promise<ThreadProfile[]> {
  const files = await readdir(directory);
  return Promise.all(
    files.map(async (file) => {
      const thread = file.split(".").at(-3);
      return summarizeProfile(await readFile(path.join(directory, file), "utf8"), thread === "0", root);
    }),
  );
}

function print(thread: ThreadProfile): void {
  const busyMs = thread.totalMs - thread.idleMs;
  console.log(
    `\n${thread.main ? "main thread" : "worker"}: busy ${busyMs.toFixed(0)} of ${thread.totalMs.toFixed(0)} ms`,
  );
  for (const { what, selfMs } of thread.functions.slice(0, Number(values.top))) {
    console.log(
      `  ${((selfMs / busyMs) * 100).toFixed(1).padStart(5)} %  ${selfMs.toFixed(0).padStart(6)} ms  ${what}`,
    );
  }
}
