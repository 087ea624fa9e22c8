/**
 * The command line of `npm run soak`.
 *
 * @module
 */

import { freshSeed, readFlags } from "../fuzz/flags.ts";

const usage = `npm run soak [-- OPTIONS]

  --case NAME   mixed: every kind of work at once; modules: many modules loaded, run and unloaded; may be repeated (default: mixed)
  --minutes N   how long the mixed work goes on (default 1)
  --modules N   how many modules (default 200; in full 1000, which take about 4 minutes)
  --seed N      make the same choices as an earlier run of mixed work`;

const flags = readFlags(usage, { seed: freshSeed(), minutes: 1, modules: 200 }, ["mixed", "modules"]);

/** The numbers that were given, or their defaults. */
export const { numbers } = flags;
/** The cases that were named; the mixed one where none was. */
export const cases: readonly string[] = process.argv.includes("--case") ? flags.cases : ["mixed"];
