import fc from "fast-check";
import { expect, test } from "vitest";
import { Reorder } from "./reorder.ts";

test("answers that come in any order are given out in the order of their numbers, each as soon as it can be", () => {
  const shuffled = fc.integer({ min: 0, max: 40 }).chain((count) =>
    fc.shuffledSubarray(
      Array.from({ length: count }, (_, index) => index),
      { minLength: count },
    ),
  );
  fc.assert(
    fc.property(shuffled, fc.integer({ min: 1, max: 2 ** 40 }), (order, first) => {
      const out: number[] = [];
      const reorder = new Reorder<string>(first, (sequence, answer) => {
        expect(answer).toBe(`answer ${sequence}`);
        out.push(sequence);
      });
      const come = new Set<number>();
      for (const index of order) {
        const sequence = first + index;
        expect(reorder.isNext(sequence)).toBe(sequence === first + out.length);
        reorder.add(sequence, `answer ${sequence}`);
        come.add(sequence);
        let ready = 0;
        while (come.has(first + ready)) ready++;
        expect(out).toEqual(Array.from({ length: ready }, (_, n) => first + n));
        expect(reorder.waiting).toBe(come.size - ready);
      }
    }),
  );
});

test("an answer to a number that was answered is a mistake of the server", () => {
  const reorder = new Reorder<string>(1, () => {});
  reorder.add(1, "a");
  expect(() => reorder.add(1, "a")).toThrow(/answered twice/);
  reorder.add(3, "c");
  expect(() => reorder.add(3, "c")).toThrow(/answered twice/);
});
