import { describe, expect, test } from "vitest";
import { checkBoundary, judge } from "../../test/fuzz/body-oracle.ts";
import { makeModule } from "../../test/fuzz/function-bodies.ts";
import { Random } from "../../test/fuzz/random.ts";
import { resolveLimits } from "../limits.ts";

const seed = Math.floor(Math.random() * 2 ** 31);
console.log(`seed ${seed}`);
const limits = resolveLimits();

describe("of bodies that are made operator by operator", () => {
  test("those that V8 takes are refused when they have what must be refused, at that operator, and admitted otherwise", () => {
    const outcomes = new Map<string, number>();
    for (let index = 0; index < 1_000; index++) {
      const made = makeModule(new Random(seed, index), index % 2 === 0);
      const outcome = judge(made, limits);
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
    // Little would have been tried if V8 did not take nearly all of them.
    expect(outcomes.get("valid, admitted")).toBeGreaterThan(500);
    expect(outcomes.get("valid, refused")).toBeGreaterThan(100);
  });

  test("V8 and inspection find operators at the same places", () => {
    for (let index = 0; index < 200; index++) {
      const random = new Random(seed, 1_000_000 + index);
      const { bytes, bodyStart, bodyEnd } = makeModule(random, false);
      expect(WebAssembly.validate(bytes)).toBe(true);
      for (let tries = 0; tries < 20; tries++)
        checkBoundary(bytes, random.between(bodyStart, bodyEnd - 1), limits);
    }
  });
});
