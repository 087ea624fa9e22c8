/**
 * Modules that make V8 abort, beside a stream that must come out complete, in order and once.
 *
 * @module
 */

import { Leat, LeatCallError } from "@leat/sdk";
import { type MeasuredGoal, requireGoal } from "../bench/goals.ts";
import { median } from "../bench/statistics.ts";
import { moduleBytes } from "../kit/modules.ts";
import { until } from "../kit/until.ts";
import { section } from "../kit/wat.ts";
import { streamNumbered } from "./numbered-stream.ts";
import { checkDeadLetters, type FaultOrder, pace, pipelines } from "./process-cases.ts";
import { type Supervised, startSupervised } from "./supervised.ts";

/** How often V8 is made to abort, each time by another module. */
const aborts = 5;
/** How soon a server must serve again. */
const backGoal: MeasuredGoal = {
  what: "from the failed call to serving, median",
  most: 1_000,
  unit: "ms",
  quietMachine: true,
};
/** The switch that lets the modules past the validator: tables of so many entries are what V8 aborts on. */
const admitting = [
  "--limit",
  "maxTableEntries=10000000",
  "--limit",
  "maxInstanceHeapBytesPerWorker=2GiB",
  "--limit",
  "maxRecordExecutionMs=60000",
];
/** Calls of one module until it is in quarantine: where other modules ran as well, all are on probation first. */
const maxCalls = 5;

/** Calls modules that abort V8 while a stream runs. */
export async function aborting({ records }: FaultOrder): Promise<string> {
  const names = Array.from({ length: aborts }, (_, index) => `aborter-${index}`);
  const wasm = await moduleBytes("aborter");
  const modules = Object.fromEntries(names.map((name) => [name, variantOf(wasm, name)]));
  await using server = await startSupervised({
    modules: { program: "program", ...modules },
    pipelines: [pipelines, ...names.map((name) => `name: ${name}\nstages:\n  - module: ${name}\n`)].join(
      "---\n",
    ),
    flags: [
      ...admitting,
      "--limit",
      `maxRestarts=${aborts * maxCalls + 1}`,
      "--limit",
      "maxBatchExecutionMs=60000",
    ],
  });
  await using leat = new Leat(server.serve.address);
  const part = Math.ceil(records / 2);
  const moments = names.map((_, index) => Math.floor((part * (index + 0.5)) / aborts));
  const backMs: number[] = [];
  let calls = 0;
  let next = 0;
  let attack = Promise.resolve();
  const figures = await streamNumbered(leat, "kept", {
    records: part,
    onDelivered: async (delivered) => {
      if ((moments[next] ?? Number.POSITIVE_INFINITY) > delivered) return;
      // One at a time, and none when the stream is over already.
      await attack;
      attack = abortUntilHeld(server, names[next++] ?? "", backMs).then((count) => {
        calls += count;
      });
    },
  });
  await attack;
  if (next < aborts) throw new Error(`only ${next} of ${aborts} modules were called`);
  await checkDeadLetters(server, figures.deadLetterIds, Math.floor(part / 1_000));
  requireGoal(backGoal, median(backMs));
  return (
    `${backMs.length} aborts by ${aborts} modules in ${calls} calls, each in quarantine after at most ${maxCalls}; ${part} records beside ` +
    `them each delivered once and in order, ${pace(part, figures)}; from the failed call to serving median ` +
    `${Math.round(median(backMs))} ms, at most ${Math.round(Math.max(...backMs))} ms`
  );
}

/** The same module under another digest. */
function variantOf(wasm: Uint8Array, name: string): Uint8Array {
  const text = [...Buffer.from(name)];
  return Uint8Array.from([...wasm, ...section(0, [text.length, ...text])]);
}

/** Calls the module until it is refused. @returns how many calls that took. @throws Error when it has not aborted V8 at all */
async function abortUntilHeld(server: Supervised, name: string, backMs: number[]): Promise<number> {
  for (let call = 1; call <= maxCalls; call++) {
    // A channel of its own: the stream's may be waiting before it connects again.
    await using leat = new Leat(server.serve.address);
    const starts = server.starts();
    const refused = await leat.transform(name, [{ value: "!" }], { timeoutMs: 30_000 }).then(
      () => undefined,
      (error: unknown) => error,
    );
    if (refused instanceof LeatCallError && refused.reason === "MODULE_QUARANTINED") {
      if (call === 1) throw new Error(`${name} is in quarantine, and has aborted nothing`);
      return call - 1;
    }
    const diedMs = performance.now();
    await until(() => server.starts() > starts, "the server is back");
    backMs.push(performance.now() - diedMs);
  }
  throw new Error(`${name} is in no quarantine after ${maxCalls} aborts`);
}
