/**
 * Breaks things under load and checks that no record is lost, doubled or out of order: `npm run test:faults`.
 *
 * @module
 */

import { freshSeed, readFlags } from "../fuzz/flags.ts";
import { Random } from "../fuzz/random.ts";
import { beside, runaways } from "./guest-cases.ts";
import { cuts, kills, slowReader, stalls } from "./process-cases.ts";

const cases = { kills, cuts, stalls, slowReader, runaways, beside };

const usage = `npm run test:faults [-- OPTIONS]

  --case NAME   ${Object.keys(cases).join(", ")}; may be repeated (default: all)
  --kills N     how often the server is killed (default 10; in full 50)
  --records N   records of the stream under which it is killed (default 200000; in full 1000000)
  --seed N      replay an earlier run, as far as time lets it`;

const { numbers, cases: chosen } = readFlags(
  usage,
  { seed: freshSeed(), kills: 10, records: 200_000 },
  Object.keys(cases),
);
console.log(`seed ${numbers.seed}`);
let failed = false;
for (const name of chosen) {
  const run = new Map(Object.entries(cases)).get(name);
  const startMs = performance.now();
  try {
    const told = await run?.({ ...numbers, random: new Random(numbers.seed) });
    console.log(`${name}: ${told} (${((performance.now() - startMs) / 1_000).toFixed(1)} s)`);
  } catch (error) {
    failed = true;
    console.log(`${name}: FAILED: ${error instanceof Error ? error.stack : String(error)}`);
    console.log(`  replay: npm run test:faults -- --case ${name} --seed ${numbers.seed}`);
  }
}
process.exitCode = failed ? 1 : 0;
