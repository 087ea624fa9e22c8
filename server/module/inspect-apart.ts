/**
 * Inspects large modules in a thread of their own. Inspection reads every operator, some 100 MB a second: for a module of 60 MB the
 * main thread would answer nobody for half a second.
 *
 * @module
 */

import { Worker } from "node:worker_threads";
import { LeatError, leatError, type Reason } from "../errors.ts";
import type { Limits } from "../limits.ts";
import { type InspectedModule, inspectModule } from "./inspect.ts";

/** What the thread is started with. */
export interface InspectionStart {
  /** The module, for the thread to keep. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly limits: Readonly<Limits>;
}

/** What the thread says before it ends. */
export type FromInspection =
  | { readonly t: "inspected"; readonly inspected: InspectedModule }
  | {
      readonly t: "refused";
      readonly reason: Reason;
      readonly message: string;
      readonly metadata: Readonly<Record<string, string>>;
    };

/** Smaller modules are inspected where they are: that takes 5 ms at most, and to start a thread takes 30. */
export const minBytesApart = 512 * 1024;

/** The heap of the thread, in MiB; the module itself is outside of it. */
const heapMiB = 256;

const entry = new URL(
  `./inspection-thread${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`,
  import.meta.url,
);

/** The inspection before; one runs at a time in a process, since each has a copy of its module and a core. */
let last: Promise<unknown> = Promise.resolve();

/**
 * As {@link inspectModule}, without holding the thread up.
 *
 * @param bytes - the binary; must not change before the promise settles. A large one is copied, and the copy is what is found clamped
 * @throws LeatError - what {@link inspectModule} throws, and `MODULE_COMPILE_TIMEOUT` after `maxCompileMs`
 */
export async function inspectApart(bytes: Uint8Array, limits: Readonly<Limits>): Promise<InspectedModule> {
  // What is too large to be a module is not worth a copy.
  if (bytes.length < minBytesApart || bytes.length > limits.maxModuleBytes)
    return inspectModule(bytes, limits);
  const inspect = (): Promise<InspectedModule> => inThread({ bytes: new Uint8Array(bytes), limits });
  const inspection = last.then(inspect);
  last = inspection.catch(() => undefined);
  return inspection;
}

async function inThread({ bytes, limits }: InspectionStart): Promise<InspectedModule> {
  const { promise, resolve, reject } = Promise.withResolvers<FromInspection>();
  const worker = new Worker(entry, {
    name: "inspection",
    workerData: { bytes, limits },
    transferList: [bytes.buffer],
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: heapMiB },
  });
  worker.once("message", resolve);
  worker.once("error", reject);
  worker.once("exit", () => reject(new Error("the inspection's thread ended without a word")));
  const startMs = performance.now();
  const timer = setTimeout(() => {
    const measured = Math.round(performance.now() - startMs);
    reject(
      leatError("MODULE_COMPILE_TIMEOUT", { limit: "maxCompileMs", value: limits.maxCompileMs, measured }),
    );
  }, limits.maxCompileMs).unref();
  try {
    const found = await promise;
    if (found.t === "inspected") return found.inspected;
    throw new LeatError(found.reason, found.message, found.metadata);
  } finally {
    clearTimeout(timer);
    await worker.terminate();
  }
}
