import { expect, test } from "vitest";
import { clockOf } from "../../test/kit/clocks.ts";
import { UnaskedFrames } from "./unasked-frames.ts";

test("a process that logs all that it may is no attacker, wherever its seconds begin", () => {
  const lines = 2_000;
  let nowMs = 10_000;
  const frames = new UnaskedFrames(clockOf(() => nowMs));
  // In one second of the server's: the control words, and the lines of the end of one second of its own and of the next one's begin.
  for (let frame = 0; frame < 200 + 2 * lines; frame++) {
    frames.add(lines);
    nowMs += 0.1;
  }
});

test("one that sends without end is, in each second", () => {
  const frames = new UnaskedFrames(clockOf(() => 10_000));
  const add = (count: number): void => {
    for (let frame = 0; frame < count; frame++) frames.add(100);
  };
  add(1_200);
  expect(() => frames.add(100)).toThrow("more than 1200 frames in a second");
  frames.allow(3);
  add(2);
  expect(() => frames.add(100)).toThrow("more than 1200");
});
