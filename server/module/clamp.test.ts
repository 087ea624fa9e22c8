import { describe, expect, test } from "vitest";
import { section, wasm, wat } from "../../test/kit/wat.ts";
import { type Limits, resolveLimits } from "../limits.ts";
import { type InspectedModule, inspectModule } from "./inspect.ts";

const limits = resolveLimits({ maxGuestMemoryBytes: 80 * 65_536, maxTableEntries: 50 });

function inspect(text: string, overrides: Partial<Limits> = {}): InspectedModule {
  return inspectModule(wat(text), { ...limits, ...overrides });
}

type Numeric = (...args: number[]) => number;
function run(inspected: InspectedModule): Record<string, Numeric> {
  const instance = new WebAssembly.Instance(new WebAssembly.Module(inspected.clamped));
  return instance.exports as unknown as Record<string, Numeric>;
}

const grower = `(func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))`;
const tableGrower = `(func (export "grow") (param i32) (result i32)
  (table.grow 0 (ref.null func) (local.get 0)))`;

describe("a memory grows to the limit and not beyond", () => {
  test.each([
    ["without a maximum", "(memory 1)"],
    ["with a larger maximum", "(memory 1 60000)"],
    ["with the largest maximum", "(memory 1 65536)"],
  ])("%s", (_, memory) => {
    const inspected = inspect(`(module ${memory} ${grower})`);
    expect(inspected.memory).toEqual({ initialPages: 1, maxPages: 80 });
    const { grow } = run(inspected);
    expect(grow?.(79)).toBe(1);
    expect(grow?.(1)).toBe(-1);
  });

  test("and keeps a smaller maximum of its own", () => {
    const inspected = inspect(`(module (memory 1 3) ${grower})`);
    expect(inspected.memory).toEqual({ initialPages: 1, maxPages: 3 });
    const { grow } = run(inspected);
    expect(grow?.(3)).toBe(-1);
    expect(grow?.(2)).toBe(1);
  });

  test("a module that keeps the limits is passed on as it is", () => {
    const bytes = wat(`(module (memory 1 3) (table 1 50 funcref) ${grower})`);
    const inspected = inspectModule(bytes, limits);
    expect(inspected.clamped).toBe(bytes);
    expect(inspected.codeSectionShiftBytes).toBe(0);
  });
});

describe("a table grows to the limit and not beyond", () => {
  test.each([
    ["without a maximum", "(table 1 funcref)"],
    ["with a larger maximum", "(table 1 4000000000 funcref)"],
  ])("%s", (_, table) => {
    const { grow } = run(inspect(`(module ${table} ${tableGrower})`));
    expect(grow?.(50)).toBe(-1);
    expect(grow?.(49)).toBe(1);
    expect(grow?.(1)).toBe(-1);
  });

  test("each of several, beside a memory", () => {
    const inspected = inspect(`(module (table 1 funcref) (table 2 2 funcref) (table 3 externref) (memory 0)
      (func (export "grow") (result i32 i32 i32 i32)
        (table.grow 0 (ref.null func) (i32.const 50)) (table.grow 1 (ref.null func) (i32.const 1))
        (table.grow 2 (ref.null extern) (i32.const 48)) (memory.grow (i32.const 81))))`);
    expect(run(inspected)["grow"]?.()).toEqual([-1, -1, -1, -1]);
  });
});

test("a size field that changes its own length keeps the module valid", () => {
  // 40 tables of 3 bytes make a section of 121 bytes; with maxima it has 161 and needs a second size byte.
  const tables = "(table 1 funcref)".repeat(40);
  const inspected = inspect(`(module ${tables} ${tableGrower})`, { maxTables: 100 });
  expect(inspected.codeSectionShiftBytes).toBe(41);
  expect(run(inspected)["grow"]?.(50)).toBe(-1);
});

test("a wastefully encoded size is shortened, and the shift counts that too", () => {
  // One memory, initial size 1 in three bytes, maximum 65,535 in five; the section's size 10 in five.
  const padded = wasm([
    5, 0x8a, 0x80, 0x80, 0x80, 0x00, 1, 1, 0x81, 0x80, 0x00, 0xff, 0xff, 0x83, 0x80, 0x00,
  ]);
  const inspected = inspectModule(padded, limits);
  expect(WebAssembly.validate(padded)).toBe(true);
  expect(WebAssembly.validate(inspected.clamped)).toBe(true);
  expect(inspected.clamped.length - padded.length).toBe(inspected.codeSectionShiftBytes);
  expect(inspected.codeSectionShiftBytes).toBeLessThan(0);
});

test("the shift turns the offset of a trap back into the offset in the file", () => {
  const bytes = wat(`(module (memory 1) (table 1 funcref) (func (export "f") unreachable))`);
  const inspected = inspectModule(bytes, limits);
  let stack = "";
  try {
    run(inspected)["f"]?.();
  } catch (thrown) {
    stack = (thrown as Error).stack ?? "";
  }
  const offset = Number.parseInt(/:0x([0-9a-f]+)/.exec(stack)?.[1] ?? "", 16);
  expect(inspected.codeSectionShiftBytes).toBeGreaterThan(0);
  const original = offset - inspected.codeSectionShiftBytes;
  // One body of 3 bytes: no locals, unreachable, end.
  expect([...bytes.subarray(original - 3, original + 2)]).toEqual([1, 3, 0x00, 0x00, 0x0b]);
});

test("an empty memory section and an empty table section stay as they are", () => {
  const bytes = wasm(section(4, 0), section(5, 0));
  const inspected = inspectModule(bytes, limits);
  expect(inspected.clamped).toBe(bytes);
  expect(inspected.memory).toEqual({ initialPages: 0, maxPages: 0 });
});
