import { createHash } from "node:crypto";
import type { Worker } from "node:worker_threads";
import { afterEach, beforeEach, expect, test } from "vitest";
import { guest, section, wat } from "../../test/kit/wat.ts";
import { LeatError } from "../errors.ts";
import { resolveLimits } from "../limits.ts";
import { inspectModule } from "./inspect.ts";
import { inspectApart, minBytesApart } from "./inspect-apart.ts";

const limits = resolveLimits();

let threads: Worker[] = [];
const started = (worker: Worker): void => {
  threads.push(worker);
};

beforeEach(() => {
  threads = [];
  process.on("worker", started);
});

afterEach(() => {
  process.off("worker", started);
  expect(threads.filter(({ threadId }) => threadId !== -1)).toEqual([]);
});

/** A module with a custom section of so many bytes behind it. */
function padded(module: Uint8Array, bytes: number): Uint8Array {
  return Buffer.concat([module, Uint8Array.from(section(0, [1, 0x78], Array<number>(bytes).fill(7)))]);
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

async function refusal(promise: Promise<unknown>): Promise<LeatError> {
  const thrown: unknown = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (thrown instanceof LeatError) return thrown;
  throw new Error("it was not refused", { cause: thrown });
}

test("a large module is inspected in a thread of its own, with the same result, and keeps its bytes", async () => {
  const bytes = padded(guest(), minBytesApart);
  const digest = sha256(bytes);
  const { clamped, ...found } = await inspectApart(bytes, limits);
  const { clamped: expected, ...rest } = inspectModule(bytes, limits);
  expect(found).toEqual(rest);
  expect(sha256(clamped)).toBe(sha256(expected));
  expect(sha256(bytes)).toBe(digest);
  expect(threads).toHaveLength(1);
});

test("one that keeps the limits comes back unchanged", async () => {
  const bytes = padded(wat("(module (memory 1 1))"), minBytesApart);
  expect(sha256((await inspectApart(bytes, limits)).clamped)).toBe(sha256(bytes));
});

test("a small module is inspected where it is", async () => {
  expect(await inspectApart(guest(), limits)).toEqual(inspectModule(guest(), limits));
  expect(threads).toEqual([]);
});

test("a large module that is refused is refused as a small one is", async () => {
  const bytes = padded(wat("(module (memory 1 1) (table 1 2 funcref) (table 1 2 funcref))"), minBytesApart);
  const narrow = { ...limits, maxTables: 1 };
  const error = await refusal(inspectApart(bytes, narrow));
  expect(error).toMatchObject({
    reason: "MODULE_LIMIT_EXCEEDED",
    status: "INVALID_ARGUMENT",
    metadata: { limit: "maxTables", value: "1", measured: "2" },
  });
  expect(() => inspectModule(bytes, narrow)).toThrow(error.message);
});

test("what is too large to be a module is refused without a thread", async () => {
  const bytes = new Uint8Array(minBytesApart + 1);
  const narrow = { ...limits, maxModuleBytes: minBytesApart };
  expect((await refusal(inspectApart(bytes, narrow))).reason).toBe("MODULE_TOO_LARGE");
  expect(threads).toEqual([]);
});

test("an inspection that takes longer than maxCompileMs ends with its thread, and the next one runs", async () => {
  const bytes = padded(guest(), minBytesApart);
  const hurried = inspectApart(bytes, { ...limits, maxCompileMs: 0 });
  const next = inspectApart(bytes, limits);
  expect(await refusal(hurried)).toMatchObject({
    reason: "MODULE_COMPILE_TIMEOUT",
    metadata: { limit: "maxCompileMs", value: "0" },
  });
  expect((await next).memory.initialPages).toBe(1);
  expect(threads).toHaveLength(2);
});
