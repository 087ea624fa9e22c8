/**
 * Loads and unloads many modules, and tells what the server holds afterwards.
 *
 * @module
 */

import { setTimeout as delay } from "node:timers/promises";
import { Leat } from "@leat/sdk";
import { holdingsOf, startSupervised } from "../faults/supervised.ts";
import { guest } from "../kit/wat.ts";
import { type Inspector, inspectable, openInspector } from "./inspected.ts";

/** Memory at rest, with the garbage collected. */
interface Resting {
  readonly residentMiB: number;
  /** JavaScript's objects, and what they hold outside of the heap. */
  readonly reachableMiB: number;
}

/** V8 lets each thread fill its heap a good deal before it first collects, which the first modules bring about. */
const warmUpModules = 60;
const readings = 8;
/** One in so many is run in a pipeline as well, which takes as long again. */
const runEvery = 4;
/**
 * glibc gives each thread memory of its own, and keeps what was freed there for as long as it likes: over the same 100 modules
 * the process moved between 260 and 480 MiB. With two arenas it stays within 3 %, and what is measured is the server.
 */
const fewArenas = { MALLOC_ARENA_MAX: "2" };
/** How much more may be held at the end, of what was held after the warm-up. */
const allowedGrowth = 0.1;

/**
 * Loads and unloads modules one after the other, each of them another, and runs some.
 *
 * @returns figures for the reader
 * @throws Error when more than a tenth more is held at the end
 */
export async function churnModules(modules: number): Promise<string> {
  await using server = await startSupervised({
    modules: { program: "program" },
    pipelines: "name: plain\nstages:\n  - module: program\n",
    env: { ...inspectable, ...fewArenas },
  });
  const pid = server.pid() ?? 0;
  await using leat = new Leat(server.serve.address);
  using inspector = await openInspector(pid, () => server.serve.stderr());
  const one = async (number: number): Promise<void> => {
    const wasm = guest(`(data (i32.const 8) "module ${number}")`);
    await leat.modules.loadModule({ name: "passing", version: `${number}`, wasm });
    if (number % runEvery === 0) await leat.transform({ modules: [`passing@${number}`] }, [{ value: "a" }]);
    await leat.modules.unloadModule({ reference: `passing@${number}` });
  };
  for (let number = 0; number < warmUpModules; number++) await one(number);
  const before = await restingOf(leat, inspector, pid);
  const startMs = performance.now();
  const onTheWay: Resting[] = [];
  for (let number = 1; number <= modules; number++) {
    await one(warmUpModules + number);
    if (number % Math.ceil(modules / readings) === 0) onTheWay.push(await restingOf(leat, inspector, pid));
  }
  const seconds = (performance.now() - startMs) / 1_000;
  const after = await restingOf(leat, inspector, pid);
  const told = (read: (resting: Resting) => number): string =>
    `${read(before)} MiB before, ${read(after)} after (on the way ${onTheWay.map(read).join(", ")})`;
  const figures =
    `${modules} modules loaded and unloaded in ${seconds.toFixed(1)} s; with the garbage collected, ` +
    `reachable ${told(({ reachableMiB }) => reachableMiB)}; resident ${told(({ residentMiB }) => residentMiB)}`;
  for (const read of [(r: Resting) => r.reachableMiB, (r: Resting) => r.residentMiB])
    if (read(after) > read(before) * (1 + allowedGrowth)) throw new Error(`memory grew: ${figures}`);
  return figures;
}

async function restingOf(leat: Leat, inspector: Inspector, pid: number): Promise<Resting> {
  await inspector.collectGarbage();
  await delay(300);
  await inspector.collectGarbage();
  const { snapshot } = await leat.metrics.metrics({});
  const { heapUsedBytes = 0n, externalBytes = 0n } = snapshot?.process ?? {};
  return {
    residentMiB: holdingsOf(pid).rssMiB,
    reachableMiB: Math.round(Number(heapUsedBytes + externalBytes) / 2 ** 20),
  };
}
