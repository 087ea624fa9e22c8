import { getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, test } from "vitest";
import { leb, section, wasm, wat } from "../../test/kit/wat.ts";
import { LeatError } from "../errors.ts";
import { resolveLimits } from "../limits.ts";
import { inspectModule } from "./inspect.ts";

function costOf(bytes: Uint8Array): number {
  return inspectModule(bytes, resolveLimits()).instanceHeapBytes;
}

describe("what an instance may take of the heap is counted by", () => {
  test("the tables as they begin, where no function makes one larger", () => {
    const small = costOf(wat("(module (table 10 100000 funcref))"));
    expect(costOf(wat("(module (table 1010 funcref))")) - small).toBe(24_000);
  });

  test("the tables as large as they may be, where a function does", () => {
    const grow = "(func (drop (table.grow 0 (ref.null func) (i32.const 1))))";
    const bounded = costOf(wat(`(module (table 10 1010 funcref) ${grow})`));
    expect(costOf(wat(`(module (table 10 funcref) ${grow})`)) - bounded).toBe(24 * 98_990);
  });

  test("functions, and entries of segments by what they refer to", () => {
    const empty = costOf(wat("(module)"));
    expect(costOf(wat("(module (func $f))")) - empty).toBe(16);
    const noted = costOf(wat("(module (table 2 funcref) (func $f) (elem (i32.const 0) func $f $f))"));
    expect(noted - empty).toBe(2 * 24 + 16 + 24 + 16);
    for (const use of [
      "(drop (ref.func $f))",
      "(drop (table.get 0 (i32.const 0)))",
      "(table.set 0 (i32.const 0) (ref.null func))",
      "(table.fill 0 (i32.const 0) (ref.null func) (i32.const 0))",
      "(table.copy (i32.const 0) (i32.const 0) (i32.const 0))",
    ]) {
      const used = costOf(wat(`(module (table 2 funcref) (func $f ${use}) (elem (i32.const 0) func $f $f))`));
      expect(used - noted).toBe(320 - 24);
    }
  });
});

test("a module of which one instance takes more than all may is refused", () => {
  const tables = wat("(module (table 100000 funcref) (table 100000 funcref))");
  const limits = resolveLimits({ maxInstanceHeapBytesPerWorker: 4_000_000 });
  expect(() => inspectModule(tables, limits)).toThrow(LeatError);
  expect(() => inspectModule(tables, limits)).toThrow("maxInstanceHeapBytesPerWorker");
});

test("V8 takes no more for it than is counted", () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const functions = 20_000;
  const entries = 50_000;
  const all = Array.from({ length: functions }, (_, index) => leb(index)).flat();
  // Puts all of the segment into the table.
  const fill = [0, 0x41, 0, 0x41, 0, 0x41, ...[0xa0, 0x9c, 0x01], 0xfc, 0x0c, 0, 0, 0x0b];
  const bytes = wasm(
    section(1, 1, 0x60, 0, 0),
    section(3, leb(functions), Array<number>(functions).fill(0)),
    section(4, 2, 0x70, 0, leb(entries), 0x6f, 0, leb(entries)),
    section(7, 1, 1, 0x66, 0, 0),
    section(9, 1, 1, 0, leb(functions), all),
    section(
      10,
      leb(functions),
      leb(fill.length),
      fill,
      Array<number[]>(functions - 1)
        .fill([2, 0, 0x0b])
        .flat(),
    ),
  );
  const counted = costOf(bytes);
  const module = new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>);
  const used = (): number => {
    collect();
    return getHeapStatistics().used_heap_size;
  };
  const kept: WebAssembly.Instance[] = [];
  const take = (): void => {
    const instance = new WebAssembly.Instance(module);
    (instance.exports["f"] as () => void)();
    kept.push(instance);
  };
  take();
  const before = used();
  for (let count = 0; count < 4; count++) take();
  const measured = (used() - before) / 4;
  expect(measured).toBeLessThan(counted);
  // Nor is so much counted that few instances would fit.
  expect(measured).toBeGreaterThan(counted / 3);
  expect(kept).toHaveLength(5);
});
