import fc from "fast-check";
import { expect, test } from "vitest";
import { wat } from "../../test/kit/wat.ts";
import { LeatError } from "../errors.ts";
import { resolveLimits } from "../limits.ts";
import { inspectModule } from "./inspect.ts";

const runs = 4_000;

/** Between them they have every kind of section, and things to clamp. */
const seeds = [
  `(module
    (import "leat" "log" (func (param i32 i32 i32)))
    (tag (param i32))
    (memory (export "memory") 1) (table 2 funcref)
    (global $g (mut i32) (i32.const 300)) (global v128 (v128.const i32x4 1 2 3 4))
    (func $f (export "f") (param i32) (result i32) (local i64 f32) (memory.init 0 (i32.const 0) (i32.const 0) (i32.const 1))
      (i32.add (local.get 0) (global.get $g)))
    (func $s) (start $s)
    (elem (i32.const 0) $f $f) (elem declare func $f)
    (data "passive") (data (i32.const 70000) "active"))`,
  `(module (memory 2 65536) (table 1 4000000000 externref) (table 3 funcref)
    (func (result i32) (memory.grow (i32.const 1))) (elem (table 1) (i32.const 1) funcref (ref.func 0) (ref.null func)))`,
  '(module (memory 1 3) (func (export "go") (param f64) (result i64) (i64.trunc_sat_f64_s (local.get 0))))',
].map(wat);

type Edit = { at: number; remove: number; insert: Uint8Array };

/** Bytes that mean something in the format are worth more tries than others. */
const byte = fc.oneof(
  fc.nat(255),
  fc.constantFrom(0x00, 0x01, 0x0b, 0x7f, 0x80, 0xff, 0x60, 0x70, 0x6f, 0x41),
);

const edit: fc.Arbitrary<Edit> = fc.record({
  at: fc.nat(400),
  remove: fc.nat(3),
  insert: fc.array(byte, { maxLength: 4 }).map((bytes) => Uint8Array.from(bytes)),
});

function mutate(seed: Uint8Array, edits: readonly Edit[]): Uint8Array {
  let bytes = seed;
  for (const { at, remove, insert } of edits) {
    const start = at % (bytes.length + 1);
    bytes = Uint8Array.from([...bytes.subarray(0, start), ...insert, ...bytes.subarray(start + remove)]);
  }
  return bytes;
}

/** The clamped module, or the refusal. Anything else that is thrown fails the test. */
function inspected(bytes: Uint8Array): Uint8Array | LeatError {
  try {
    return inspectModule(bytes, resolveLimits()).clamped;
  } catch (thrown) {
    if (thrown instanceof LeatError && thrown.reason.startsWith("MODULE_")) return thrown;
    throw thrown;
  }
}

test("what inspection accepts, V8 accepts after clamping exactly when it accepts it before", () => {
  fc.assert(
    fc.property(fc.constantFrom(...seeds), fc.array(edit, { minLength: 1, maxLength: 3 }), (seed, edits) => {
      const bytes = mutate(seed, edits);
      const result = inspected(bytes);
      if (result instanceof LeatError) return;
      expect(WebAssembly.validate(result)).toBe(WebAssembly.validate(bytes));
    }),
    { numRuns: runs },
  );
});

test("clamping what was clamped changes nothing", () => {
  fc.assert(
    fc.property(fc.constantFrom(...seeds), fc.array(edit, { maxLength: 2 }), (seed, edits) => {
      const once = inspected(mutate(seed, edits));
      if (once instanceof LeatError) return;
      expect(inspectModule(once, resolveLimits()).clamped).toBe(once);
    }),
    { numRuns: runs },
  );
});

test("changing one byte of a valid module seldom makes inspection refuse what V8 accepts, and then for a limit or a feature", () => {
  fc.assert(
    fc.property(fc.constantFrom(...seeds), fc.nat(400), byte, (seed, at, value) => {
      const bytes = mutate(seed, [{ at, remove: 1, insert: Uint8Array.of(value) }]);
      const result = inspected(bytes);
      if (!(result instanceof LeatError) || !WebAssembly.validate(bytes)) return;
      expect(["MODULE_LIMIT_EXCEEDED", "MODULE_FEATURE_REFUSED", "MODULE_IMPORT_FORBIDDEN"]).toContain(
        result.reason,
      );
    }),
    { numRuns: runs },
  );
});

test("random bytes behind the header are refused or left to V8, never a crash", () => {
  fc.assert(
    fc.property(fc.array(byte, { maxLength: 64 }), (body) => {
      inspected(Uint8Array.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, ...body]));
    }),
    { numRuns: runs },
  );
});
