/**
 * Measures how a server starts that keeps many modules: `npm run bench:start [-- --modules N] [--runs N]`.
 *
 * Printed, as medians with their spread: from the start of `leat serve` until it takes calls, with an empty data folder and
 * with one that has all those modules and a pipeline for every tenth, also where each must be signed; then the first call of a module that
 * nobody has used, as an inline chain, and the one after it.
 *
 * @module
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { create, toBinary } from "@bufbuild/protobuf";
import { loadExample } from "@leat/examples";
import { Leat, PipelineSchema } from "@leat/sdk";
import { resolveLimits } from "../../server/limits.ts";
import { compileModule, digestOf } from "../../server/module/compile.ts";
import { moduleEntry } from "../../server/registry/module-entry.ts";
import { generateKey } from "../../server/signing/keys.ts";
import { signModule } from "../../server/signing/sign-module.ts";
import { FileModuleStore } from "../../server/store/module-files.ts";
import { DatabaseRegistryStore } from "../../server/store/registry-store.ts";
import { StoreClient } from "../../server/store/store-client.ts";
import { startServe } from "../kit/leat-command.ts";
import { writeKeyList } from "../kit/signing.ts";
import { describeMachine } from "./machine.ts";
import { formatMachine } from "./report.ts";
import { summarize } from "./statistics.ts";

const { values } = parseArgs({
  options: { modules: { type: "string", default: "1000" }, runs: { type: "string", default: "5" } },
});
const [modules, runs] = [Number(values.modules), Number(values.runs)];
if (!(modules >= 1) || !(runs >= 1)) {
  console.error("--modules and --runs must be numbers of at least 1");
  process.exit(2);
}

const folder = await mkdtemp(join(tmpdir(), "leat-start-"));
const key = generateKey();
const keysFile = await writeKeyList(folder, [{ name: "bench", key }]);
const requireSignatures = ["--signatures-policy", "require", "--signatures-keys", keysFile];
try {
  const bytes = await fill(join(folder, "full"));
  console.log(
    `${formatMachine(describeMachine())}\n${modules} modules of ${bytes} bytes, ${runs} runs; ms\n`,
  );
  const empty: number[] = [];
  const full: number[] = [];
  const verified: number[] = [];
  const first: number[] = [];
  const second: number[] = [];
  for (let run = 0; run < runs; run++) {
    // A folder of its own each time: what an earlier run has left would be something.
    empty.push((await start(join(folder, `empty-${run}`))).readyMs);
    const { readyMs, callsMs } = await start(join(folder, "full"), `module-${run * 10 + 5}`);
    full.push(readyMs);
    verified.push((await start(join(folder, "full"), undefined, requireSignatures)).readyMs);
    first.push(callsMs[0] ?? 0);
    second.push(callsMs[1] ?? 0);
  }
  print("until it takes calls, with nothing kept", empty);
  print(`until it takes calls, with ${modules} modules kept`, full);
  print("the same, where signatures are required", verified);
  print("first call of a module that nobody has used", first);
  print("the call after it", second);
} finally {
  await rm(folder, { recursive: true, force: true });
}

/** Keeps modules and pipelines as a server would that had loaded them one by one. @returns the size of one */
async function fill(data: string): Promise<number> {
  const limits = resolveLimits();
  const file = join(data, "leat.sqlite");
  const client = new StoreClient({ file, maxPages: undefined, maxLockMs: 5_000 }, undefined);
  const records = new DatabaseRegistryStore(client);
  const files = new FileModuleStore(join(data, "modules"), digestOf);
  const source = await loadExample("uppercase");
  const compiled = await compileModule(source, limits);
  for (let number = 0; number < modules; number++) {
    // A custom section with the number makes other bytes of the same module.
    const numbered = Buffer.concat([source, Buffer.from([0, 6, 1, 110, 0, 0, 0, 0])]);
    numbered.writeUInt32LE(number, numbered.length - 4);
    const wasm = await signModule(numbered, key, limits);
    const [name, version, digest, loadTimeMs] = [`module-${number}`, "1", await digestOf(wasm), Date.now()];
    const module = moduleEntry({ name, wasm }, { ...compiled, version, digest, loadTimeMs });
    await files.put(digest, wasm);
    const activation = { name, version, digest, timeMs: loadTimeMs, cause: "load" as const };
    const definition = create(PipelineSchema, {
      name,
      revision: 1,
      stages: [{ module: name }],
    });
    const revision = {
      name,
      revision: 1,
      timeMs: loadTimeMs,
      principal: "",
      digest: "",
      previous: 0,
      definition: toBinary(PipelineSchema, definition),
    };
    await records.commit([
      { t: "load", module },
      { t: "activate", activation, keep: 100 },
      ...(number % 10 === 0 ? [{ t: "pipeline" as const, revision, keep: 100 }] : []),
    ]);
  }
  await client.close();
  return source.length + 8;
}

/** Starts a server over a folder, and calls a module twice. */
async function start(
  data: string,
  module?: string,
  flags: readonly string[] = [],
): Promise<{ readyMs: number; callsMs: number[] }> {
  const startMs = performance.now();
  await using serve = await startServe(["--data", data, "--log-level", "error", ...flags]);
  const readyMs = performance.now() - startMs;
  const callsMs: number[] = [];
  if (module === undefined) return { readyMs, callsMs };
  await using leat = new Leat(serve.address);
  // The connection is made before, and is not measured.
  const { modules: listed } = await leat.modules.listModules({});
  if (listed.length !== modules) throw new Error(`${listed.length} of ${modules} modules are there`);
  for (let call = 0; call < 2; call++) {
    const callMs = performance.now();
    await leat.transform({ modules: [module] }, [{ value: "shout" }]);
    callsMs.push(performance.now() - callMs);
  }
  return { readyMs, callsMs };
}

function print(what: string, times: readonly number[]): void {
  const { median, min, max } = summarize(times);
  console.log(`${what.padEnd(55)} ${median.toFixed(1)} (${min.toFixed(1)} to ${max.toFixed(1)})`);
}
