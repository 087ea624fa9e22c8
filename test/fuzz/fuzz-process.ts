/**
 * Runs one fuzz case in this process, which may die of it, and tells its parent the figures.
 *
 * @module
 */

import { connectCase } from "./connect-case.ts";
import { type FuzzCase, FuzzFailure, type FuzzOrder, progressFile, runCase } from "./fuzz-case.ts";
import { bodiesCase, inspectCase, loadCase } from "./module-cases.ts";
import { requestCase } from "./request-case.ts";
import { signatureCase } from "./signature-case.ts";
import { streamCase } from "./stream-case.ts";

const cases = {
  inspect: inspectCase,
  bodies: bodiesCase,
  load: loadCase,
  signatures: signatureCase,
  requests: requestCase,
  connect: connectCase,
  streams: streamCase,
};

const [name = "", order = "{}", progress] = process.argv.slice(2);
const begin = new Map<string, (seed: number) => Promise<FuzzCase>>(Object.entries(cases)).get(name);
const parsed = JSON.parse(order) as FuzzOrder;

try {
  if (begin === undefined) throw new Error(`there is no case ${name}`);
  await using fuzzed = await begin(parsed.seed);
  const figures = await runCase(fuzzed, parsed, progressFile(progress));
  process.send?.({ figures });
} catch (error) {
  const index = error instanceof FuzzFailure ? error.index : undefined;
  process.send?.({ index, problem: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  process.exitCode = 1;
} finally {
  if (process.connected) process.disconnect?.();
}
