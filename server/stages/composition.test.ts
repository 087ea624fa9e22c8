import fc from "fast-check";
import { expect, test } from "vitest";
import { Composition } from "./composition.ts";

/** The stages of a batch, each as what its records gave; the model keeps an array of origins. */
const batches = fc.tuple(
  fc.nat(30),
  fc.array(fc.array(fc.nat(3), { minLength: 1, maxLength: 7 }), { maxLength: 5 }),
);

test("origins and the final fanout are those of a plain model, batch after batch", () => {
  const composition = new Composition();
  fc.assert(
    fc.property(batches, ([inputs, stages]) => {
      let origins = Array.from({ length: inputs }, (_, index) => index);
      composition.begin(inputs);
      for (const pattern of stages) {
        const fanout = Uint32Array.from(origins, (_, index) => pattern[index % pattern.length] ?? 1);
        origins = origins.flatMap((origin, index) => new Array<number>(fanout[index] ?? 0).fill(origin));
        composition.apply(fanout, origins.length);
        expect(composition.records).toBe(origins.length);
        expect(origins.map((_, record) => composition.originOf(record))).toEqual(origins);
      }
      composition.finish();
      const counts = Array.from(
        { length: inputs },
        (_, index) => origins.filter((origin) => origin === index).length,
      );
      if (composition.identity) expect(counts.every((count) => count === 1)).toBe(true);
      else expect([...composition.fanout.subarray(0, inputs)]).toEqual(counts);
    }),
    { numRuns: 500 },
  );
});

test("a batch that grows beyond every table is followed all the same", () => {
  const composition = new Composition();
  composition.begin(5_000);
  composition.apply(new Uint32Array(5_000).fill(3), 15_000);
  composition.apply(new Uint32Array(15_000).fill(2), 30_000);
  expect(composition.originOf(29_999)).toBe(4_999);
  composition.finish();
  expect(composition.fanout.subarray(0, 5_000).every((count) => count === 6)).toBe(true);
});

test("as long as each record gives one, nothing is written down", () => {
  const composition = new Composition();
  composition.begin(3);
  composition.apply(Uint32Array.of(1, 1, 1), 3);
  composition.finish();
  expect(composition.identity).toBe(true);
  // As many out as in is not the same as one each.
  composition.begin(2);
  composition.apply(Uint32Array.of(2, 0), 2);
  composition.finish();
  expect([composition.identity, ...composition.fanout.subarray(0, 2)]).toEqual([false, 2, 0]);
});
