import { expect, onTestFinished, test } from "vitest";
import { wat } from "../../test/kit/wat.ts";
import { SlotRunner } from "./slot-runner.ts";
import { warmUp, warmUpGuest } from "./warm-up.ts";

test("the guest that warms a worker up is this text", () => {
  const text = `
    (module
      (import "leat" "begin_record" (func (param i32)))
      (memory (export "memory") 1)
      (func (export "leat_alloc") (param i32) (result i32) (i32.const 64))
      ;; Puts the tag and the length of the result's batch before the input, and returns both.
      (func (export "leat_transform") (param i32 i32) (result i64)
        (call 0 (i32.const 0))
        (i32.store8 (i32.sub (local.get 0) (i32.const 2)) (i32.const 10))
        (i32.store8 (i32.sub (local.get 0) (i32.const 1)) (local.get 1))
        (i64.or
          (i64.shl (i64.extend_i32_u (i32.sub (local.get 0) (i32.const 2))) (i64.const 32))
          (i64.extend_i32_u (i32.add (local.get 1) (i32.const 2))))))`;
  expect(warmUpGuest).toEqual(wat(text));
});

test("a whole batch and one without a record run, and anything else than their results ends the start", () => {
  const { run } = SlotRunner.prototype;
  onTestFinished(() => {
    SlotRunner.prototype.run = run;
  });
  let runs = 0;
  SlotRunner.prototype.run = function (this: SlotRunner, ...args) {
    runs++;
    run.apply(this, args);
  };
  warmUp();
  expect(runs).toBe(2);
  SlotRunner.prototype.run = () => {};
  expect(() => warmUp()).toThrow("did not come back");
});
