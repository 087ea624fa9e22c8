/**
 * Attacks on what takes modules: the inspection alone, and the whole way of a module that is loaded.
 *
 * @module
 */

import type { ServiceError } from "@grpc/grpc-js";
import { exampleNames } from "@leat/examples";
import type { TransformResult } from "@leat/proto";
import { LeatCallError } from "@leat/sdk";
import { catalogue, isHostCode, LeatError } from "../../server/errors.ts";
import { resolveLimits, wasmPageBytes } from "../../server/limits.ts";
import { inspectModule } from "../../server/module/inspect.ts";
import { callFailure } from "../kit/call-error.ts";
import { moduleBytes } from "../kit/modules.ts";
import { request, valuesOf } from "../kit/records.ts";
import { startTestServer, type TestServer } from "../kit/test-server.ts";
import { wat } from "../kit/wat.ts";
import { checkBoundary, judge } from "./body-oracle.ts";
import { makeModule } from "./function-bodies.ts";
import type { FuzzCase } from "./fuzz-case.ts";
import { mutateModule } from "./module-mutation.ts";
import { Random } from "./random.ts";

/** Between them these have every section and much that must be clamped. */
const extras = [
  `(module
    (import "leat" "log" (func $log (param i32 i32 i32)))
    (import "wasi_snapshot_preview1" "random_get" (func (param i32 i32) (result i32)))
    (tag (param i32))
    (memory (export "memory") 2 65536) (table (export "t") 2 4000000000 funcref) (table 1 externref)
    (global $g (mut i32) (i32.const 300)) (global v128 (v128.const i32x4 1 2 3 4))
    (func $alloc (export "leat_alloc") (param i32) (result i32) (i32.const 1024))
    (func $give (export "leat_transform") (param i32 i32) (result i64) (local i64 f32)
      (memory.init 0 (i32.const 0) (i32.const 0) (i32.const 1)) (i64.const 0))
    (func $s (global.set $g (i32.const 1))) (func (export "_initialize")) (start $s)
    (elem (i32.const 0) $s $s) (elem declare func $s)
    (data "passive") (data (i32.const 70000) "active"))`,
];

async function seedModules(): Promise<Uint8Array[]> {
  const own = ["uppercase", "marked", "program", "init", "aborter"];
  const files = await Promise.all([...own, ...exampleNames].map(moduleBytes));
  return [...files, ...extras.map(wat)];
}

/** Small, so that what escapes them is seen. */
const limits = resolveLimits({ maxGuestMemoryBytes: 260 * wasmPageBytes, maxTableEntries: 1_000 });
const bodyLimits = resolveLimits();
const maxPages = limits.maxGuestMemoryBytes / wasmPageBytes;

/** How long one inspection of a module of some ten KB may take. */
const maxInspectMs = 2_000;

/** Function bodies made operator by operator, of which it is known what must be refused. */
export async function bodiesCase(seed: number): Promise<FuzzCase> {
  return {
    lanes: 1,
    attempt: async (index) => {
      const random = new Random(seed, index);
      const made = makeModule(random, index % 2 === 0);
      const outcome = judge(made, bodyLimits);
      if (outcome === "valid, admitted")
        checkBoundary(made.bytes, random.between(made.bodyStart, made.bodyEnd - 1), bodyLimits);
      return outcome;
    },
    checkHealth: async () => {},
    [Symbol.asyncDispose]: async () => {},
  };
}

/** `inspectModule`, without a server and without V8's own flags, so that nothing else holds a module back. */
export async function inspectCase(seed: number): Promise<FuzzCase> {
  const seeds = await seedModules();
  return {
    lanes: 1,
    attempt: async (index) => {
      const random = new Random(seed, index);
      const bytes = mutateModule(random, seeds);
      const startMs = performance.now();
      const outcome = inspectOnce(bytes, random);
      const tookMs = performance.now() - startMs;
      if (tookMs > maxInspectMs) throw new Error(`${bytes.length} bytes took ${Math.round(tookMs)} ms`);
      return outcome;
    },
    checkHealth: async () => {
      for (const healthy of seeds.slice(0, 4)) inspectModule(healthy, limits);
    },
    [Symbol.asyncDispose]: async () => {},
  };
}

function inspectOnce(bytes: Uint8Array<ArrayBuffer>, random: Random): string {
  const given = bytes.slice();
  const result = inspected(bytes);
  if (Buffer.compare(given, bytes) !== 0) throw new Error("inspection changed the module that it was given");
  if (typeof result === "string") return result;
  const valid = WebAssembly.validate(result);
  if (valid !== WebAssembly.validate(bytes))
    throw new Error(`clamping made a module that was ${valid ? "in" : ""}valid ${valid ? "" : "in"}valid`);
  if (inspectModule(result, limits).clamped !== result) throw new Error("clamping twice changes more");
  if (valid) checkBoundary(result, random.below(result.length), limits);
  return valid ? growth(result) : "left to V8, which refuses it";
}

/** The clamped module, or the reason why there is none. */
function inspected(bytes: Uint8Array): Uint8Array<ArrayBuffer> | string {
  try {
    return inspectModule(bytes, limits).clamped as Uint8Array<ArrayBuffer>;
  } catch (error) {
    if (error instanceof LeatError && error.reason.startsWith("MODULE_")) return error.reason;
    throw error;
  }
}

/** Wants more of an instance's memory and tables than the limits allow, and must not get it. */
function growth(clamped: Uint8Array<ArrayBuffer>): string {
  const module = new WebAssembly.Module(clamped);
  let instance: WebAssembly.Instance;
  try {
    instance = new WebAssembly.Instance(module, importsFor(module));
  } catch {
    // A start function that traps, or a segment that does not fit.
    return "valid, cannot be instantiated";
  }
  for (const exported of Object.values(instance.exports)) {
    if (exported instanceof WebAssembly.Memory) {
      if (grows(() => exported.grow(maxPages + 1 - exported.buffer.byteLength / wasmPageBytes)))
        throw new Error(`its memory grows beyond ${maxPages} pages`);
    } else if (isTable(exported)) {
      if (grows(() => exported.grow(limits.maxTableEntries + 1 - exported.length)))
        throw new Error(`a table grows beyond ${limits.maxTableEntries} entries`);
    }
  }
  return "valid, within limits";
}

/** A `WebAssembly.Table`, of which the types of this repository know nothing. */
interface Table {
  readonly length: number;
  grow(by: number): number;
}

function isTable(exported: unknown): exported is Table {
  return Object.prototype.toString.call(exported) === "[object WebAssembly.Table]";
}

function grows(act: () => unknown): boolean {
  try {
    act();
    return true;
  } catch {
    return false;
  }
}

function importsFor(module: WebAssembly.Module): WebAssembly.Imports {
  const imports: Record<string, Record<string, () => number>> = {};
  for (const { module: from, name } of WebAssembly.Module.imports(module)) {
    imports[from] ??= {};
    imports[from][name] = () => 0;
  }
  return imports;
}

/** LoadModule's way, warm-up in a worker and all. What is taken runs some records, and is unloaded again. */
export async function loadCase(seed: number): Promise<FuzzCase> {
  const seeds = await seedModules();
  const kit = await startTestServer({
    modules: { uppercase: "uppercase" },
    limits: { maxInitMs: 300, maxBatchExecutionMs: 300, maxRecordExecutionMs: 100, maxCompileMs: 5_000 },
  });
  return {
    lanes: 1,
    attempt: (index) => loadOnce(kit, mutateModule(new Random(seed, index), seeds), `${index}`),
    checkHealth: () => checkUppercase(kit),
    [Symbol.asyncDispose]: () => kit[Symbol.asyncDispose](),
  };
}

async function loadOnce(kit: TestServer, wasm: Uint8Array<ArrayBuffer>, version: string): Promise<string> {
  const load = { name: fuzzed, version, wasm, sampleConfigJson: "", dryRun: false };
  try {
    await kit.server.registry.load(load);
  } catch (error) {
    if (!(error instanceof LeatError)) throw error;
    if (!error.reason.startsWith("MODULE_")) throw error;
    return error.reason;
  }
  try {
    if (!WebAssembly.validate(wasm)) throw new Error("a module was taken that V8 refuses");
    return `taken, ${await runOnce(kit)}`;
  } finally {
    await kit.leat.modules.unloadModule({ reference: `${fuzzed}@${version}` });
  }
}

/** The name of each module, and of its pipeline. */
const fuzzed = "fuzzed";
const values = ["ma", "", "\n\x06broken"];

/** Runs some records through the module that was loaded last. @returns what became of them */
async function runOnce(kit: TestServer): Promise<string> {
  try {
    await kit.put(fuzzed, [fuzzed]);
  } catch (error) {
    return `not put: ${reasonOf(error)}`;
  }
  try {
    const result = await kit.raw.transform(request(fuzzed, ...values), { timeoutMs: 20_000 });
    return judgeAccount(result, values.length);
  } catch (error) {
    return `not run: ${reasonOf(error)}`;
  } finally {
    await kit.leat.pipelines.deletePipeline({ name: fuzzed });
  }
}

/** The reason of a refusal, which must be in the catalogue and the module's fault. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error) || (!(error instanceof LeatCallError) && !("metadata" in error))) throw error;
  const { reason, message } = error instanceof LeatCallError ? error : callFailure(error as ServiceError);
  if (!Object.hasOwn(catalogue, reason) || reason === "INTERNAL" || reason === "DEADLINE_EXCEEDED")
    throw new Error(`${reason}: ${message}`, { cause: error });
  return reason;
}

/** What of a result accounts for its inputs. */
type Account = Pick<TransformResult, "batch" | "fanout" | "failures">;

/**
 * Each input is accounted for: failed once, with a code, or by the outputs that its fanout counts.
 *
 * @returns the codes, for the reader
 * @throws Error that says what is not
 */
export function judgeAccount({ batch, fanout, failures }: Account, inputs: number): string {
  const counts = fanout.length === 0 ? new Array<number>(inputs).fill(1) : fanout;
  if (counts.length !== inputs) throw new Error(`a fanout of ${counts.length} for ${inputs} records`);
  const failed = new Set<number>();
  for (const { index, code } of failures) {
    if (index >= inputs || failed.has(index)) throw new Error(`a failure of record ${index}, once too often`);
    if (code === "") throw new Error(`record ${index} failed without a code`);
    if (counts[index] !== 0) throw new Error(`record ${index} failed and gave ${counts[index]} records`);
    failed.add(index);
  }
  const outputs = counts.reduce((sum, count) => sum + count, 0);
  const records = batch?.records.length ?? 0;
  if (outputs !== records) throw new Error(`a fanout of ${counts.join(" ")} for ${records} records`);
  const host = failures.map(({ code }) => (isHostCode(code) ? code : "a code of its own"));
  return failures.length === 0 ? "all ran" : [...new Set(host)].toSorted().join(", ");
}

/** The server still does what it is there for. */
export async function checkUppercase(kit: TestServer): Promise<void> {
  const result = await kit.raw.transform(request("uppercase", "still here"), { timeoutMs: 20_000 });
  const [value] = valuesOf(result);
  if (value !== "STILL HERE") throw new Error(`a healthy call gave ${JSON.stringify(value)}`);
}
