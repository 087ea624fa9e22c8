import { expect, test } from "vitest";
import { judgeGoal, type MeasuredGoal, requireGoal } from "./goals.ts";

const goal: MeasuredGoal = {
  what: "from the abort to serving",
  most: 1_000,
  unit: "ms",
  quietMachine: false,
};

test("a figure may be as large as its goal and no larger", () => {
  expect(judgeGoal(goal, 1_000)).toEqual({
    met: true,
    line: "met: from the abort to serving: 1000 ms, goal at most 1000 ms",
  });
  expect(judgeGoal(goal, 1_000.26)).toEqual({
    met: false,
    line: "MISSED: from the abort to serving: 1000.3 ms, goal at most 1000 ms",
  });
  expect(() => requireGoal(goal, 1_000)).not.toThrow();
  expect(() => requireGoal(goal, 1_001)).toThrow("MISSED: from the abort to serving: 1001 ms");
});

test("what was not measured misses its goal", () => {
  expect(judgeGoal(goal, Number.NaN).met).toBe(false);
});

test("a goal for a quiet machine says how quiet it was", () => {
  expect(judgeGoal({ ...goal, quietMachine: true }, 5, 2.87).line).toMatch(
    /^met: .* \(counts on a quiet machine; load average 2\.9 on \d+ cores\)$/,
  );
});
