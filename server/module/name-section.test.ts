import { describe, expect, test } from "vitest";
import { leb, section, wasm } from "../../test/kit/wat.ts";
import { type Limits, resolveLimits } from "../limits.ts";
import { inspectModule } from "./inspect.ts";
import { faultFrom } from "./trap.ts";

const text = (value: string): number[] => [...leb(value.length), ...Buffer.from(value)];

/** A subsection of the names: its kind, its size, what is in it. */
const part = (kind: number, ...bytes: (number | number[])[]): number[] => section(kind, ...bytes);

const functionNames = (...names: string[]): number[] =>
  part(
    1,
    leb(names.length),
    names.flatMap((name, index) => [...leb(index), ...text(name)]),
  );

const names = (...parts: number[][]): number[] => section(0, text("name"), ...parts);

/** A module whose one function `f` traps; its names stand at the end, or before everything. */
function module(nameSection: number[], where: "first" | "last" = "last"): Uint8Array<ArrayBuffer> {
  const rest = [
    section(1, 1, 0x60, 0, 0),
    section(3, 1, 0),
    section(7, 1, ...text("f"), 0, 0),
    section(10, 1, 3, 0, 0x00, 0x0b),
  ];
  return Uint8Array.from(where === "first" ? wasm(nameSection, ...rest) : wasm(...rest, nameSection));
}

/** The stack of the trap that comes of it, told in offsets of the bytes that were given. */
function trapIn(bytes: Uint8Array, overrides: Partial<Limits> = {}): string | undefined {
  const { clamped, codeSectionShiftBytes } = inspectModule(bytes, resolveLimits(overrides));
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(clamped as Uint8Array<ArrayBuffer>));
  try {
    (exports["f"] as () => void)();
    return undefined;
  } catch (error) {
    return faultFrom(error, { codeSectionShiftBytes }).guestStack;
  }
}

const named = names(part(0, text("mine")), functionNames("boom"));
const long = "a".repeat(70_000);

test("names within bounds stay, and traps tell them", () => {
  const bytes = module(named);
  expect(inspectModule(bytes, resolveLimits()).clamped).toBe(bytes);
  expect(trapIn(bytes)).toContain("boom (function 0");
});

describe("V8 gets no names beyond all bounds, and traps tell numbers:", () => {
  test.each([
    ["more than there may be functions", names(functionNames("a", "b", "c"))],
    ["more than that in several parts", names(functionNames("a", "b"), functionNames("a", "b"))],
    ["more than are there", names(part(1, 2, 0, ...text("a")))],
    ["more behind the end of their part", names([1, 1, 1, 0, ...text("boom")])],
    ["a function's of 70,000 bytes", names(functionNames(long))],
    ["a module's of 70,000 bytes", names(part(0, text(long)))],
    ["a module's with more behind it", names(part(0, text("mine"), functionNames("boom")))],
    ["a part that is cut off", names([1, 9, 1])],
  ])("%s", (_, nameSection) => {
    const bytes = module(nameSection);
    expect(inspectModule(bytes, resolveLimits({ maxFunctions: 2 })).clamped.length).toBe(
      bytes.length - nameSection.length,
    );
    expect(trapIn(bytes, { maxFunctions: 2 })).toMatch(/^function 0, byte \d+$/);
  });
});

test("where they stood before the code, offsets in traps are still those of the module that was given", () => {
  const nameSection = names(functionNames(long));
  const bytes = module(nameSection, "first");
  const trapping = bytes.lastIndexOf(0x0b) - 1;
  expect(inspectModule(bytes, resolveLimits()).codeSectionShiftBytes).toBe(-nameSection.length);
  expect(trapIn(bytes)).toBe(`function 0, byte ${trapping}`);
  // Behind the code they move nothing.
  expect(inspectModule(module(nameSection), resolveLimits()).codeSectionShiftBytes).toBe(0);
});
