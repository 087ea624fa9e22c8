/**
 * Breaks things under load and checks that no record is lost, doubled or out of order: `npm run test:faults`.
 *
 * @module
 */

import { inspect } from "node:util";
import { freshSeed, readFlags } from "../fuzz/flags.ts";
import { Random } from "../fuzz/random.ts";
import { aborting } from "./abort-case.ts";
import { beside } from "./beside-case.ts";
import { breakers } from "./breaker-case.ts";
import { workerLoss } from "./guest-cases.ts";
import { cuts, kills, slowReader, stalls } from "./process-cases.ts";
import { loadKills, replayKills, startKills, unaryKills } from "./restart-cases.ts";
import { Skipped } from "./skipped.ts";
import { clockJumps, fullDisk, unhedged } from "./surroundings-cases.ts";

const cases = {
  kills,
  startKills,
  loadKills,
  unaryKills,
  replayKills,
  aborting,
  cuts,
  stalls,
  slowReader,
  unhedged,
  workerLoss,
  breakers,
  fullDisk,
  clockJumps,
  beside,
};

const usage = `npm run test:faults [-- OPTIONS]

  --case NAME   ${Object.keys(cases).join(", ")}; may be repeated (default: all)
  --full 1      50 kills under 1000000 records, and the other cases in proportion
  --kills N     how often the server is killed (default 10)
  --records N   records of the stream under which it is killed (default 200000)
  --guests N    how many guests run beside a healthy stream, 0 for all (default 0)
  --seed N      replay an earlier run, as far as time lets it`;

const { numbers: given, cases: chosen } = readFlags(
  usage,
  { seed: freshSeed(), full: 0, kills: 10, records: 200_000, guests: 0 },
  Object.keys(cases),
);
const numbers = given.full > 0 ? { ...given, kills: 50, records: 1_000_000 } : given;
console.log(`seed ${numbers.seed}`);
const failed: string[] = [];
const skipped: string[] = [];
for (const name of chosen) {
  const run = new Map(Object.entries(cases)).get(name);
  const startMs = performance.now();
  try {
    const told = await run?.({ ...numbers, random: new Random(numbers.seed) });
    console.log(`${name}: ${told} (${((performance.now() - startMs) / 1_000).toFixed(1)} s)`);
  } catch (error) {
    if (error instanceof Skipped) {
      skipped.push(name);
      console.log(`${name}: SKIPPED: ${error.message}`);
      continue;
    }
    failed.push(name);
    console.log(`${name}: FAILED: ${inspect(error, { depth: 8, breakLength: 160 })}`);
    console.log(
      `  replay: npm run test:faults -- --case ${name} --seed ${numbers.seed} --kills ${numbers.kills} --records ${numbers.records}`,
    );
  }
}
console.log(
  [
    `${chosen.length - failed.length - skipped.length} of ${chosen.length} cases passed`,
    ...(failed.length > 0 ? [`FAILED: ${failed.join(", ")}`] : []),
    ...(skipped.length > 0 ? [`SKIPPED: ${skipped.join(", ")}`] : []),
  ].join("; "),
);
process.exitCode = failed.length > 0 ? 1 : 0;
