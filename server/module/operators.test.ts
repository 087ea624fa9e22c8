import { describe, expect, test } from "vitest";
import { guest, leb, section, wasm, wat } from "../../test/kit/wat.ts";
import { LeatError } from "../errors.ts";
import { resolveLimits } from "../limits.ts";
import { inspectModule } from "./inspect.ts";

function inspect(wasm: Uint8Array): string {
  try {
    inspectModule(wasm, resolveLimits());
    return "admitted";
  } catch (error) {
    if (error instanceof LeatError) return `${error.reason} ${error.metadata["feature"]}`;
    throw error;
  }
}

/** Three functions `() -> ()`, the first of which has this body. */
function withBody(...body: number[]): Uint8Array {
  const types = section(1, 3, 0x60, 0, 0, 0x60, 0, 0, 0x60, 0, 0);
  const tags = section(13, 1, 0, 0);
  const bodies = section(10, 3, ...leb(body.length + 1), 0, ...body, 3, 0, 0x00, 0x0b, 3, 0, 0x00, 0x0b);
  return wasm(types, section(3, 3, 2, 2, 2), section(4, 1, 0x70, 0, 2), tags, bodies);
}

describe("typed and exception references are refused wherever an operator has a type, with what stands behind them unread:", () => {
  const returnCall = [0x12, 0x02, 0x0b, 0x1a, 0x0b];
  const references = [
    ["a typed reference that may be null", [0x63, 0x02], "typed references"],
    ["a typed reference that may not", [0x64, 0x02], "typed references"],
    ["a function in the long form", [0x63, 0x70], "typed references"],
    ["an exception", [0x69], "exnref"],
    ["anything", [0x6e], "anyref"],
  ] as const;
  const places = [
    ["block", [0x02]],
    ["loop", [0x03]],
    ["if", [0x41, 0x00, 0x04]],
    ["try", [0x06]],
    ["try_table", [0x1f]],
    ["select", [0x00, 0x1c, 0x01]],
  ] as const;
  test.each(
    places.flatMap(([place, before]) =>
      references.map((reference) => [place, before, ...reference] as const),
    ),
  )("%s, %j of %s", (_, before, __, type, feature) => {
    expect(inspect(withBody(...before, ...type, ...returnCall))).toBe(`MODULE_FEATURE_REFUSED ${feature}`);
  });

  test.each([
    ["the null of a type", [0xd0, 0x02], "typed references"],
    ["the null of an exception", [0xd0, 0x69], "typed references"],
    ["the call of a reference", [0x14, 0x02], "typed references"],
    ["a reference that is made sure of", [0xd4], "typed references"],
    ["a branch on a null", [0xd5, 0x00], "typed references"],
    ["a branch on a type", [0xfb, 0x18, 0x03, 0x00, 0x70, 0x73], "the operator 0xfb"],
    ["the test of a type", [0xfb, 0x14, 0x12], "the operator 0xfb"],
    ["a catch that leaves a reference", [0x1f, 0x40, 1, 0x01, 0x00, 0x00], "exception references"],
    ["a catch of all that leaves one", [0x1f, 0x40, 1, 0x03, 0x00], "exception references"],
    ["the throw of one", [0x0a], "exception references"],
  ])("%s", (_, operator, feature) => {
    expect(inspect(withBody(0x00, ...operator, 0x0b))).toBe(`MODULE_FEATURE_REFUSED ${feature}`);
  });

  test("V8 takes a tail call behind a block of a typed reference, so only inspection stands before it", () => {
    expect(WebAssembly.validate(withBody(0x02, 0x63, 0x02, ...returnCall) as Uint8Array<ArrayBuffer>)).toBe(
      true,
    );
  });

  test("a block of a negative number in more than one byte is malformed, though V8 takes one for an empty block", () => {
    expect(inspect(withBody(0x02, 0xc0, 0x7f, 0x0b, 0x0b))).toContain("MODULE_MALFORMED");
  });
});

test("operators that are not known behind a prefix are refused", () => {
  expect(inspect(withBody(0x00, 0xfc, 0x12, 0x0b))).toContain("the operator 0xfc 18");
  expect(inspect(withBody(0x00, 0xfd, 0xff, 0x02, 0x0b))).toContain("the operator 0xfd 383");
  expect(inspect(withBody(0x00, 0xfe, 0x04, 0x0b))).toContain("the operator 0xfe 4");
  expect(inspect(withBody(0x00, 0x28, 0x20, 0x00, 0x0b))).toContain("MODULE_MALFORMED");
});

describe("a tail call is refused, since V8 cannot stop a loop of them", () => {
  test.each([
    "(func $again (return_call $again))",
    "(table 1 funcref) (type $t (func)) (func (return_call_indirect (type $t) (i32.const 0)))",
    "(func $again (block (loop (if (i32.const 1) (then (return_call $again))))))",
  ])("%s", (code) => {
    expect(inspect(wat(`(module ${code})`))).toContain("MODULE_FEATURE_REFUSED a tail call");
  });
});

test("bytes that only look like one are constants, offsets and labels", () => {
  const code = `(memory 1) (func (result v128) (local i32)
    (drop (i32.const 0x12)) (drop (i64.const 0x1312)) (drop (f64.const 0x1.2p18))
    (drop (i32.load offset=0x12 (i32.const 0x13)))
    (block (br_table 0 0 0 (i32.const 0x15)))
    (memory.copy (i32.const 0) (i32.const 0) (i32.const 0x12))
    (i8x16.shuffle 18 19 21 18 19 21 18 19 21 18 19 21 18 19 21 18
      (v128.const i32x4 0x12131512 0x12131512 0x12131512 0x12131512) (v128.const i64x2 18 19)))`;
  expect(inspect(wat(`(module ${code})`))).toBe("admitted");
});

test("a guest of the ABI is admitted", () => {
  expect(inspect(guest(""))).toBe("admitted");
});
