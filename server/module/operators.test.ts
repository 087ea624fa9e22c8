import { describe, expect, test } from "vitest";
import { guest, wat } from "../../test/kit/wat.ts";
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
