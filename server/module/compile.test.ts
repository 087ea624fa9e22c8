import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { guest, section, wasm, wat } from "../../test/kit/wat.ts";
import { LeatError } from "../errors.ts";
import { resolveLimits } from "../limits.ts";
import { CompiledModuleCache } from "./cache.ts";
import { compileModule } from "./compile.ts";

const limits = resolveLimits();
const digest = (bytes: Uint8Array) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

async function refusal(promise: Promise<unknown>): Promise<LeatError> {
  const thrown = await promise.then(
    () => new Error("it succeeded"),
    (reason: unknown) => reason,
  );
  if (thrown instanceof LeatError) return thrown;
  throw thrown;
}

describe("compileModule", () => {
  test("gives a module that runs clamped, under the digest of the bytes as given", async () => {
    const bytes = guest();
    const compiled = await compileModule(bytes, limits);
    expect(compiled.digest).toBe(digest(bytes));
    expect(compiled.sizeBytes).toBe(bytes.length);
    expect(compiled.compileUs).toBeGreaterThan(0);
    expect(compiled.inspected.memory.maxPages).toBe(limits.maxGuestMemoryBytes / 65_536);
    expect(compiled.abi.acceptsConfig).toBe(false);
    const memory = new WebAssembly.Instance(compiled.module).exports["memory"] as WebAssembly.Memory;
    expect(() => memory.grow(compiled.inspected.memory.maxPages)).toThrow(RangeError);
  });

  test("refuses what inspection or the ABI refuse", async () => {
    expect((await refusal(compileModule(new Uint8Array(3), limits))).reason).toBe("MODULE_NOT_WASM");
    expect((await refusal(compileModule(wat("(module)"), limits))).reason).toBe("MODULE_EXPORT_MISSING");
  });

  test("tells V8's reason and the offset in the bytes as given", async () => {
    const bytes = guest("(func $broken (result i32) (i32.const 7))");
    const at = Buffer.from(bytes).indexOf(Buffer.from([0x41, 7, 0x0b]));
    bytes[at] = 0x42; // i32.const becomes i64.const
    const error = await refusal(compileModule(bytes, limits));
    expect(error.reason).toBe("MODULE_COMPILE_FAILED");
    expect(error.message).toMatch(/broken.*i32.*i64/);
    expect(error.message).toContain(`(byte ${at + 2})`);
  });

  test("gives up when V8 takes longer than maxCompileMs", async () => {
    // Many functions with many locals: V8 needs hundreds of milliseconds to validate them.
    const count = 20_000;
    const body = [...[6, 1, 0xa8, 0x46, 0x7f, 0x01], 0x0b]; // one group of 9,000 locals, nop, end
    const leb20000 = [0xa0, 0x9c, 0x01];
    const bytes = wasm(
      section(1, 3, [0x60, 0, 0], [0x60, 1, 0x7f, 1, 0x7f], [0x60, 2, 0x7f, 0x7f, 1, 0x7e]),
      section(3, 0xa2, 0x9c, 0x01, Array<number>(count).fill(0), [1, 2]),
      section(5, 1, 0, 1),
      section(
        7,
        3,
        exported("memory", 2, 0),
        exported("leat_alloc", 0, leb20000),
        exported("leat_transform", 0, [0xa1, 0x9c, 0x01]),
      ),
      section(
        10,
        0xa2,
        0x9c,
        0x01,
        Array<readonly number[]>(count).fill(body).flat(),
        [4, 0, 0x41, 0, 0x0b],
        [4, 0, 0x42, 0, 0x0b],
      ),
    );
    const error = await refusal(compileModule(bytes, { ...limits, maxCompileMs: 1 }));
    expect(error.reason).toBe("MODULE_COMPILE_TIMEOUT");
    expect(error.metadata).toMatchObject({ limit: "maxCompileMs", value: "1" });
  });
});

function exported(name: string, kind: number, index: number | readonly number[]): number[] {
  return [name.length, ...Buffer.from(name), kind, ...[index].flat()];
}

describe("the cache of compiled modules", () => {
  const small = guest(`(data "a")`);
  const other = guest(`(data "b")`);
  const third = guest(`(data "c")`);
  const read = (bytes: Uint8Array) => () => Promise.resolve(bytes);

  test("compiles a digest once for all who ask at the same time", async () => {
    const cache = new CompiledModuleCache(limits);
    let reads = 0;
    const readOnce = async () => {
      reads += 1;
      return small;
    };
    const loads = await Promise.all([1, 2, 3].map(() => cache.load(digest(small), readOnce)));
    expect(new Set(loads).size).toBe(1);
    expect(reads).toBe(1);
    expect(await cache.load(digest(small), readOnce)).toBe(loads[0]);
    expect(cache.stats()).toEqual({ hits: 3, misses: 1, evictions: 0, modules: 1, bytes: small.length });
  });

  test("lets the module go that was unused for longest", async () => {
    const cache = new CompiledModuleCache({ ...limits, maxCompiledModuleBytes: small.length + other.length });
    await cache.load(digest(small), read(small));
    await cache.load(digest(other), read(other));
    await cache.load(digest(small), read(small));
    await cache.load(digest(third), read(third));
    expect(cache.get(digest(other))).toBeUndefined();
    expect(cache.get(digest(small))).toBeDefined();
    expect(cache.stats()).toMatchObject({ evictions: 1, modules: 2, bytes: small.length + third.length });
  });

  test("serves a module larger than itself without holding it", async () => {
    const cache = new CompiledModuleCache({ ...limits, maxCompiledModuleBytes: 10 });
    expect((await cache.load(digest(small), read(small))).digest).toBe(digest(small));
    expect(cache.stats()).toMatchObject({ modules: 0, bytes: 0 });
  });

  test("keeps no failure: the next load tries again", async () => {
    const cache = new CompiledModuleCache(limits);
    const broken = () => Promise.reject(new Error("disk"));
    await expect(cache.load(digest(small), broken)).rejects.toThrow("disk");
    expect((await cache.load(digest(small), read(small))).digest).toBe(digest(small));
    expect(cache.stats()).toMatchObject({ hits: 0, misses: 2 });
  });

  test("refuses bytes that are not those of the digest", async () => {
    const cache = new CompiledModuleCache(limits);
    const error = await refusal(cache.load(digest(small), read(other)));
    expect(error.reason).toBe("INTERNAL");
    expect(error.message).toContain(digest(other));
    expect(cache.stats().modules).toBe(0);
  });

  test("lets go of a module on demand", async () => {
    const cache = new CompiledModuleCache(limits);
    await cache.load(digest(small), read(small));
    expect(cache.delete(digest(small))).toBe(true);
    expect(cache.delete(digest(small))).toBe(false);
    expect(cache.stats()).toMatchObject({ modules: 0, bytes: 0 });
  });
});
