import { describe, expect, test } from "vitest";
import { leb, section, wasm, wat } from "../../test/kit/wat.ts";
import { LeatError } from "../errors.ts";
import { type Limits, resolveLimits } from "../limits.ts";
import { inspectModule } from "./inspect.ts";

function refusal(bytes: Uint8Array, overrides: Partial<Limits> = {}): LeatError {
  try {
    inspectModule(bytes, resolveLimits(overrides));
  } catch (thrown) {
    if (thrown instanceof LeatError) return thrown;
    throw thrown;
  }
  throw new Error("the module was accepted");
}

/** Type, function and code sections of one function `() -> ()` with this body. */
const types = section(1, 1, 0x60, 0, 0);
function oneFunction(...body: number[]): number[][] {
  return [types, section(3, 1, 0), section(10, 1, ...leb(body.length), ...body)];
}

describe("a file that is no module is refused, saying what it begins with:", () => {
  test.each([
    ["an empty file", [], "it is empty"],
    ["an ELF file", [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0], "it begins with 7f 45 4c 46 02 01 01 00"],
    ["text", [...Buffer.from("(module)")], "it looks like WebAssembly text"],
    ["a cut header", [0, 0x61, 0x73, 0x6d, 1], "it ends after 5 bytes"],
    ["a component", [0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0], "it is a component"],
    ["another version", [0, 0x61, 0x73, 0x6d, 2, 0, 0, 0], "its version is 02 00 00 00"],
  ])("%s", (_, bytes, problem) => {
    const error = refusal(Uint8Array.from(bytes));
    expect(error.reason).toBe("MODULE_NOT_WASM");
    expect(error.message).toContain(problem);
  });
});

describe("a malformed module is refused, saying where:", () => {
  test.each<[string, Uint8Array, string, number]>([
    ["an unknown section", wasm(section(14, 0)), "no section with the id 14", 8],
    ["junk behind the last section", wasm(types, [0xff, 0xff]), "no section with the id 255", 14],
    ["a section that is longer than the file", wasm([1, 5, 0]), "the type section has 5 bytes", 10],
    ["a section that appears twice", wasm(types, types), "the type section appears twice", 14],
    ["sections out of order", wasm(section(3, 0), types), "type section follows the function section", 11],
    ["a tag section after the globals", wasm(section(6, 0), section(13, 0)), "tag section follows", 11],
    [
      "a section with bytes too many",
      wasm(section(1, 0, 0)),
      "the type section ends with 1 bytes too many",
      11,
    ],
    ["a LEB128 of 33 bits", wasm([1, 0xff, 0xff, 0xff, 0xff, 0x1f]), "does not fit 32 bits", 9],
    ["a LEB128 of six bytes", wasm([1, 0x80, 0x80, 0x80, 0x80, 0x80, 0]), "does not fit 32 bits", 9],
    ["a LEB128 that the file cuts", wasm([1, 0x80]), "the size of the type section is missing", 10],
    ["a vector longer than its section", wasm(section(1, ...leb(4_000_000_000))), "4000000000 types", 10],
    ["a type form that nobody knows", wasm(section(1, 1, 0x12)), "type form 0x12 is unknown", 11],
    ["a parameter of no known type", wasm(section(1, 1, 0x60, 1, 0x01, 0)), "unknown type 0x1", 13],
    [
      "a function of a type that is not there",
      wasm(types, section(3, 1, 7)),
      "type 7, but there are 1 types",
      17,
    ],
    ["functions without bodies", wasm(types, section(3, 1, 0)), "1 functions have 0 bodies", 18],
    ["bodies without functions", wasm(section(10, 1, 2, 0, 0x0b)), "0 functions have 1 bodies", 10],
    [
      "a body longer than its section",
      wasm(types, section(3, 1, 0), section(10, 1, 9, 0)),
      "function body has 9",
      22,
    ],
    ["locals that outgrow their body", wasm(...oneFunction(5, 0x0b)), "5 groups of locals are announced", 22],
    [
      "an export of nothing",
      wasm(section(7, 1, 1, 0x61, 0, 3)),
      "export a is function 3, which does not exist",
      11,
    ],
    [
      "a name that is exported twice",
      wasm(types, section(3, 1, 0), section(7, 2, 1, 0x61, 0, 0, 1, 0x61, 0, 0), section(10, 1, 2, 0, 0x0b)),
      "a is exported twice",
      25,
    ],
    ["a name that is no UTF-8", wasm(section(7, 1, 1, 0xff, 0, 0)), "is not UTF-8", 12],
    ["a start function that is not there", wasm(section(8, 0)), "start function 0 does not exist", 10],
    ["a memory above 4 GiB", wasm(section(5, 1, 1, 1, ...leb(65_537))), "65537 pages", 11],
    [
      "a maximum below the initial size",
      wasm(section(5, 1, 1, 2, 1)),
      "the maximum 1 below its initial size 2",
      11,
    ],
    ["a data count that is not kept", wasm(section(12, 2)), "2 data segments are announced", 11],
    ["a data count that the data belie", wasm(section(12, 2), section(11, 0)), "0 data segments, but 2", 13],
    ["a data segment longer than its section", wasm(section(11, 1, 1, 9)), "a data segment has 9 bytes", 13],
    ["a data segment of no known kind", wasm(section(11, 1, 3)), "has the flags 3", 11],
    ["an element segment of no known kind", wasm(section(9, 1, 8)), "has the flags 8", 11],
    [
      "a global without an end",
      wasm(section(6, 1, 0x7f, 0, 0x41, 0)),
      "a constant expression is missing",
      15,
    ],
    ["code in a global", wasm(section(6, 1, 0x7f, 0, 0x10, 0, 0x0b)), "has the operator 0x10", 13],
    ["a custom section without its name", wasm(section(0, 9)), "section's name has 9 bytes", 11],
  ])("%s", (_, bytes, problem, offset) => {
    const error = refusal(bytes);
    expect(error.reason).toBe("MODULE_MALFORMED");
    expect(error.message).toContain(problem);
    expect(error.metadata["offset"]).toBe(String(offset));
  });
});

describe("a feature that escapes the limits is refused by name:", () => {
  test.each<[string, Uint8Array, string]>([
    ["64-bit memory", wat("(module (memory i64 1))"), "memory64"],
    ["64-bit tables", wasm(section(4, 1, 0x70, 0x04, 1)), "64-bit tables"],
    ["shared memory", wat("(module (memory 1 2 shared))"), "a shared memory"],
    ["several memories", wasm(section(5, 2, 0, 1, 0, 1)), "2 memories"],
    ["custom page sizes", wasm(section(5, 1, 8, 1, 0)), "custom page sizes"],
    ["struct types", wasm(section(1, 1, 0x5f, 0)), "struct types"],
    ["array types", wasm(section(1, 1, 0x5e, 0x7f, 0)), "array types"],
    ["recursive type groups", wasm(section(1, 1, 0x4e, 0)), "recursive type groups"],
    ["subtypes", wasm(section(1, 1, 0x50, 0, 0x60, 0, 0)), "subtypes"],
    ["continuations", wasm(section(1, 1, 0x5d, 0)), "continuation types"],
    ["typed references as parameters", wasm(section(1, 1, 0x60, 1, 0x64, 0, 0)), "typed references"],
    ["anyref as a local", wasm(...oneFunction(1, 1, 0x6e, 0x0b)), "anyref"],
    ["exnref as a local", wasm(...oneFunction(1, 1, 0x69, 0x0b)), "exnref"],
    ["a table of i31ref", wasm(section(4, 1, 0x6c, 0, 1)), "i31ref"],
    [
      "a table with an initial value",
      wasm(section(4, 1, 0x40, 0, 0x70, 0, 1, 0xd0, 0x70, 0x0b)),
      "initial value",
    ],
    ["shared globals", wasm(section(6, 1, 0x7f, 2, 0x41, 0, 0x0b)), "shared globals"],
    ["garbage collection in a global", wasm(section(6, 1, 0x6f, 0, 0xfb, 1, 0, 0x0b)), "garbage collection"],
    [
      "a constant that is computed at length",
      wasm(section(6, 1, 0x7f, 0, 0x41, 0, Array<number[]>(21).fill([0x41, 1, 0x6a]).flat(), 0x0b)),
      "constant expressions of more than 64 bytes",
    ],
    ["a null of another heap", wasm(section(6, 1, 0x6f, 0, 0xd0, 0x6e, 0x0b)), "typed references"],
  ])("%s", (_, bytes, feature) => {
    const error = refusal(bytes);
    expect(error.reason).toBe("MODULE_FEATURE_REFUSED");
    expect(error.metadata["feature"]).toContain(feature);
  });
});

describe("only functions may be imported; refused by name is", () => {
  test.each([
    ["a memory", `(import "env" "memory" (memory 1))`, "env.memory", "it is a memory"],
    ["a table", `(import "env" "t" (table 1 funcref))`, "env.t", "it is a table"],
    ["a global", `(import "env" "g" (global i32))`, "env.g", "it is a global"],
    ["a tag", `(import "env" "e" (tag))`, "env.e", "it is a tag"],
  ])("%s", (_, text, name, problem) => {
    const error = refusal(wat(`(module ${text})`));
    expect(error.reason).toBe("MODULE_IMPORT_FORBIDDEN");
    expect(error.metadata["import"]).toBe(name);
    expect(error.metadata["problem"]).toContain(problem);
  });
});

describe("a module over a limit is refused with the limit, its value and the measure:", () => {
  const functions = (count: number) => `(module ${"(func)".repeat(count)})`;
  test.each<[keyof Limits, number, number, Uint8Array]>([
    ["maxFunctions", 3, 4, wat(functions(4))],
    ["maxTypes", 1, 2, wat("(module (type (func)) (type (func (param i32))))")],
    ["maxImports", 1, 2, wat(`(module (import "leat" "a" (func)) (import "leat" "b" (func)))`)],
    ["maxExports", 1, 2, wat(`(module (func $f) (export "a" (func $f)) (export "b" (func $f)))`)],
    ["maxTables", 1, 2, wat("(module (table 1 funcref) (table 1 funcref))")],
    ["maxTableEntries", 100, 101, wat("(module (table 101 funcref))")],
    ["maxTableEntries", 2, 3, wat("(module (func $f) (elem func $f $f) (elem func $f))")],
    ["maxGlobals", 1, 2, wat("(module (global i32 (i32.const 0)) (global i32 (i32.const 0)))")],
    ["maxDataSegments", 1, 2, wat(`(module (memory 1) (data "a") (data "b"))`)],
    ["maxElementSegments", 1, 2, wat("(module (func $f) (elem func $f) (elem func $f))")],
    ["maxLocals", 9, 12, wat("(module (func (local i32 i32 i32 i32 i64 i64 i64 i64 i32 i32 i32 i32)))")],
    ["maxFunctionBodyBytes", 20, 32, wat(`(module (func ${"nop ".repeat(30)}))`)],
    ["maxGuestMemoryBytes", 5 * 1024 * 1024, 81 * 65_536, wat("(module (memory 81))")],
    ["maxTags", 1, 2, wat("(module (tag) (tag))")],
    ["maxTagParameters", 2, 3, wat("(module (tag (param i32 i32 i32)))")],
    ["maxCustomSections", 1, 2, wasm(section(0, 1, 0x61), section(0, 1, 0x62))],
    ["maxSymbolBytes", 4, 5, wat(`(module (func (export "abcde")))`)],
  ])("%s", (limit, value, measured, bytes) => {
    const error = refusal(bytes, { [limit]: value });
    expect(error.reason).toBe("MODULE_LIMIT_EXCEEDED");
    expect(error.metadata).toMatchObject({ limit, value: String(value), measured: String(measured) });
  });

  test("a body over its limit names the function", () => {
    const error = refusal(wat(`(module (import "leat" "a" (func)) (func) (func ${"nop ".repeat(30)}))`), {
      maxFunctionBodyBytes: 20,
    });
    expect(error.message).toContain("function 2 at byte");
  });

  test("a file over maxModuleBytes is refused unread", () => {
    const error = refusal(new Uint8Array(101), { maxModuleBytes: 100 });
    expect(error.reason).toBe("MODULE_TOO_LARGE");
    expect(error.metadata).toMatchObject({ limit: "maxModuleBytes", value: "100", measured: "101" });
  });

  test("locals are summed, so that no group hides behind another", () => {
    const body = [3, ...leb(4_000_000_000), 0x7f, ...leb(4_000_000_000), 0x7e, 1, 0x7d, 0x0b];
    expect(refusal(wasm(...oneFunction(...body))).metadata["measured"]).toBe("8000000001");
  });

  test("a table of ten million entries in 21 bytes, which makes V8 abort the process, is refused", () => {
    const bomb = wasm(section(4, 1, 0x70, 0x00, ...leb(10_000_000)), section(0, 1, 0x61));
    expect(bomb.length).toBeLessThanOrEqual(21);
    expect(refusal(bomb).metadata).toMatchObject({ limit: "maxTableEntries", measured: "10000000" });
  });
});

test("what is legal is accepted and described", () => {
  const bytes = wat(`(module
    (import "leat" "log" (func (param i32 i32 i32)))
    (import "leat" "now_ms" (func (result i64)))
    (tag $oops (export "oops") (param i32))
    (memory (export "memory") 2 10)
    (table (export "table") 3 funcref)
    (global (export "counter") (mut i64) (i64.const -5))
    (global (export "base") f64 (f64.const 1.5))
    (global v128 (v128.const i32x4 1 2 3 4))
    (global i32 (i32.add (i32.const 1) (i32.const 2)))
    (global externref (ref.null extern))
    (func $pair (export "pair") (param i32 f32) (result i32 i64) (i32.const 0) (i64.const 0))
    (func $start)
    (start $start)
    (elem (i32.const 0) $pair $start)
    (elem declare func $pair)
    (elem funcref (ref.func $pair) (ref.null func))
    (data (i32.const 8) "active")
    (data "passive")
    (func (memory.init 1 (i32.const 0) (i32.const 0) (i32.const 1))))`);
  const inspected = inspectModule(bytes, resolveLimits());
  expect(inspected.imports).toEqual([
    { module: "leat", name: "log", kind: "function", type: "(i32, i32, i32) -> ()" },
    { module: "leat", name: "now_ms", kind: "function", type: "() -> i64" },
  ]);
  expect(inspected.exports).toEqual([
    { name: "oops", kind: "tag", type: "(i32) -> ()" },
    { name: "memory", kind: "memory", type: "memory" },
    { name: "table", kind: "table", type: "funcref table" },
    { name: "counter", kind: "global", type: "mutable i64 global" },
    { name: "base", kind: "global", type: "f64 global" },
    { name: "pair", kind: "function", type: "(i32, f32) -> (i32, i64)" },
  ]);
  expect(inspected.memory).toEqual({ initialPages: 2, maxPages: 10 });
  expect(WebAssembly.validate(inspected.clamped)).toBe(true);
});

test("a type with very many parameters is described in a few words", () => {
  const many = "i32 ".repeat(200);
  const [exported] = inspectModule(
    wat(`(module (func (export "f") (param ${many})))`),
    resolveLimits(),
  ).exports;
  expect(exported?.type).toMatch(/^\((i32, ){16}… 200 in all\) -> \(\)$/);
});

test("names from the module cannot write control characters into an error", () => {
  const error = refusal(wasm(section(2, 1, 3, 0x61, 0x1b, 0x0a, 1, 0x62, 2, 0, 1)));
  expect(error.metadata["import"]).toBe("a\\u{1b}\\u{a}.b");
});

test("a constant expression may have 64 bytes", () => {
  const steps = Array<number[]>(20).fill([0x41, 1, 0x6a]).flat();
  const longest = wasm(section(6, 1, 0x7f, 0, 0x41, 0x80, 0, ...steps, 0x0b));
  expect(WebAssembly.validate(inspectModule(longest, resolveLimits()).clamped)).toBe(true);
});

test("a module of as many functions as are allowed is accepted", () => {
  const count = resolveLimits().maxFunctions;
  const body = [2, 0, 0x0b];
  const bytes = wasm(
    types,
    section(3, leb(count), Array<number>(count).fill(0)),
    section(10, leb(count), Array<readonly number[]>(count).fill(body).flat()),
  );
  const { clamped } = inspectModule(bytes, resolveLimits());
  expect(WebAssembly.validate(clamped)).toBe(true);
});
