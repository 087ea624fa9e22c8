/**
 * The machine misbehaves: its disk is full, its clock jumps.
 *
 * @module
 */

import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { Leat } from "@leat/sdk";
import { failEvery, streamNumbered } from "./numbered-stream.ts";
import {
  checkDeadLetters,
  type FaultOrder,
  happened,
  nothingHeld,
  pace,
  pipelines,
  serve,
} from "./process-cases.ts";
import { Skipped } from "./skipped.ts";
import { startSupervised } from "./supervised.ts";

const run = promisify(execFile);
const diskBytes = 1_536 * 1024;

/** A folder on a disk of its own. */
interface SmallDisk extends AsyncDisposable {
  readonly folder: string;
}

/** Mounts one. @returns undefined where this process may not */
async function mountSmallDisk(): Promise<SmallDisk | undefined> {
  const folder = await mkdtemp(join(tmpdir(), "leat-disk-"));
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    await run("mount", ["-t", "tmpfs", "-o", `size=${diskBytes}`, "tmpfs", folder]);
  } catch {
    await remove();
    return undefined;
  }
  return {
    folder,
    [Symbol.asyncDispose]: async () => {
      await run("umount", ["-l", folder]);
      await remove();
    },
  };
}

/** The disk of the dead letters fills up under a stream, and has room again later. */
export async function fullDisk({ records }: FaultOrder): Promise<string> {
  await using disk = await mountSmallDisk();
  if (disk === undefined)
    throw new Skipped("mounting a small disk takes rights that this user does not have");
  await using server = await startSupervised({
    modules: { program: "program" },
    pipelines,
    data: join(disk.folder, "data"),
  });
  await using leat = new Leat(server.serve.address);
  // Twice as much as fits.
  const part = Math.max(failEvery * 10, Math.ceil(records / 4));
  const letters = Math.floor(part / failEvery);
  const padding = "-".repeat(Math.ceil((diskBytes * 2) / letters / 2));
  const figures = await streamNumbered(leat, "kept", { records: part, padding, batchRecords: 20 });
  const kept = figures.deadLetterIds.filter((id) => id !== "");
  const lost = figures.deadLetterIds.length - kept.length;
  if (lost === 0) throw new Error("the disk did not fill up");
  await checkDeadLetters(server, kept, kept.length);
  const metrics = await (await fetch(`${server.serve.url}/metrics`)).text();
  const counted = Number(/^leat_dead_letters_lost_total (\d+)$/m.exec(metrics)?.[1]);
  if (counted !== lost) throw new Error(`${lost} failures came without a letter, and ${counted} are counted`);
  const ready = await (await fetch(`${server.serve.url}/readyz`)).text();
  if (!/^ready\n.*dead letters cannot be kept: /s.test(ready)) throw new Error(`/readyz says ${ready}`);
  await leat.deadLetters.purgeDeadLetters({ filter: { pipeline: "kept" } });
  const again = await streamNumbered(leat, "kept", { records: failEvery * 5 });
  await checkDeadLetters(server, again.deadLetterIds, 5);
  await nothingHeld(server);
  return (
    `a disk of ${diskBytes / 1024} KiB filled up under ${part} records: each delivered once and in order, ${kept.length} failures with a letter, ` +
    `${lost} without one, told of and counted; letters are kept again since there is room`
  );
}

/** Makes wall clocks jump, in each process that loads it. */
const jumping = new URL("./jumping-clock.ts", import.meta.url).href;

/** The wall clocks of the server and of this process jump an hour ahead and back, several times a second. */
export async function clockJumps({ records }: FaultOrder): Promise<string> {
  await using server = await startSupervised({
    modules: { program: "program" },
    pipelines: `${pipelines}---
name: patient
stages:
  - module: program
    retry: { attempts: 3, initial: 20ms, jitter: 0 }
    breaker: { disabled: true }
`,
    env: { NODE_OPTIONS: `--import=${jumping}` },
    flags: ["--limit", "maxRecordExecutionMs=200"],
  });
  const { jumps, stop } = await import("./jumping-clock.ts");
  try {
    await using leat = new Leat(server.serve.address);
    const part = Math.ceil(records / 4);
    const figures = await streamNumbered(leat, "kept", { records: part, timeoutMs: 600_000 });
    await checkDeadLetters(server, figures.deadLetterIds, Math.floor(part / failEvery));
    let retried = 0;
    for (let call = 0; call < 20; call++) {
      const { failures } = await leat.transform("patient", [{ value: "ma" }, { value: "y" }, { value: "l" }]);
      const told = failures.map(({ index, code, attempts }) => `${index} ${code} ${attempts}`).join(", ");
      if (told !== "1 later 3, 2 timeout 1" && told !== "1 later 3, 2 timeout 3")
        throw new Error(`failures: ${told}`);
      retried++;
    }
    happened(jumps(), 1, "jumps");
    await nothingHeld(server);
    return (
      `${jumps()} jumps of an hour, there and back, under ${part} records: each delivered once and in order, no dead letter lost, ` +
      `${pace(part, figures)}; ${retried} records were tried three times and as many timed out, as they should`
    );
  } finally {
    stop();
  }
}

/** A server that stands still is sent nothing twice: hedging is off unless it is asked for. */
export async function unhedged({ random }: FaultOrder): Promise<string> {
  await using server = await serve();
  await using leat = new Leat(server.serve.address);
  const calls = 200;
  await leat.transform("plain", [{ value: "ma" }]);
  const pid = server.pid() ?? 0;
  process.kill(pid, "SIGSTOP");
  const results = Array.from({ length: calls }, () => leat.transform("plain", [{ value: "ma" }]));
  const stoodMs = random.between(1_000, 2_500);
  await new Promise((resolve) => setTimeout(resolve, stoodMs));
  process.kill(pid, "SIGCONT");
  await Promise.all(results);
  const { snapshot } = await leat.metrics.metrics({ pipeline: "plain" });
  const ran = Number(snapshot?.pipelines[0]?.recordsIn ?? 0n);
  if (ran !== calls + 1) throw new Error(`${calls + 1} records were sent, and the server ran ${ran}`);
  return `${calls} calls waited ${stoodMs} ms for a server that stood still, and each ran once`;
}
