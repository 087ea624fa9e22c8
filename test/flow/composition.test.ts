import { OnFailure, type TransformResult } from "@leat/sdk";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { fanoutOf, pipelineTarget } from "../kit/records.ts";
import { startTestServer, type TestServer } from "../kit/test-server.ts";

let kit: TestServer;

const { FAIL, DROP, PASS } = OnFailure;

/** Chains of `program.wat`, by the policies of their stages. */
const chains: readonly (readonly OnFailure[])[] = [
  [FAIL],
  [DROP],
  [PASS],
  [FAIL, FAIL],
  [DROP, PASS],
  [PASS, FAIL],
  [FAIL, FAIL, FAIL],
  [FAIL, DROP, PASS],
  [PASS, FAIL, DROP],
  [FAIL, PASS, FAIL, FAIL],
  [DROP, FAIL, PASS, FAIL],
];

beforeAll(async () => {
  kit = await startTestServer({
    modules: { program: "program" },
    pipelines: Object.fromEntries(
      chains.map((policies, index) => [
        `chain-${index}`,
        policies.map((onFailure, stage) => ({ name: `s${stage + 1}`, module: "program", onFailure })),
      ]),
    ),
  });
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

/** A record on its way: which input it came from, and what is left of its program. */
interface Item {
  readonly origin: number;
  readonly value: string | undefined;
}

const codes: Readonly<Record<string, string>> = { x: "refused", y: "later", t: "trap" };

/** What `program.wat` makes of one value: values, or the code of a failure. */
function step(value: string | undefined): (string | undefined)[] | string {
  if (value === undefined || value === "") return [value];
  const act = value.slice(0, 1);
  const code = codes[act];
  if (code !== undefined) return code;
  const copies = /\d/.test(act) ? Number(act) : 1;
  return Array.from({ length: copies }, (_, copy) => value.slice(copy + 1));
}

/** What a chain makes of a batch. */
function model(policies: readonly OnFailure[], values: readonly (string | undefined)[]) {
  let items: Item[] = values.map((value, origin) => ({ origin, value }));
  const failures: { index: number; code: string; stage: string }[] = [];
  policies.forEach((policy, stage) => {
    items = items.flatMap((item) => {
      const given = step(item.value);
      if (typeof given !== "string") return given.map((value) => ({ origin: item.origin, value }));
      if (policy === FAIL) failures.push({ index: item.origin, code: given, stage: `s${stage + 1}` });
      return policy === PASS ? [item] : [];
    });
  });
  return {
    items,
    fanout: values.map((_, origin) => items.filter((item) => item.origin === origin).length),
    failures: failures.sort((a, b) => a.index - b.index),
  };
}

/** Each record carries its input's number as its key, so that what comes out tells where it came from. */
function readItems(result: TransformResult): Item[] {
  return (result.batch?.records ?? []).map(({ key, value }) => ({
    origin: Number(Buffer.from(key ?? []).toString()),
    value: value === undefined ? undefined : Buffer.from(value).toString(),
  }));
}

const program = fc.oneof(
  { weight: 1, arbitrary: fc.constant(undefined) },
  { weight: 12, arbitrary: fc.string({ unit: fc.constantFrom(..."mmmmmmm0123xyt"), maxLength: 7 }) },
);

test("chains of stages that map, drop, split, fail, trap and pass on do what a model of them says", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: chains.length - 1 }),
      fc.array(program, { maxLength: 25 }),
      async (chain, values) => {
        const result = await kit.raw.transform({
          target: pipelineTarget(`chain-${chain}`),
          batch: {
            records: values.map((value, index) => ({
              key: Buffer.from(String(index)),
              ...(value === undefined ? {} : { value: Buffer.from(value) }),
              headers: [{ key: "origin", value: Buffer.from([index]) }],
              timestampMs: BigInt(-index),
            })),
          },
        });
        const expected = model(chains[chain] ?? [], values);
        expect(readItems(result)).toEqual(expected.items);
        expect(fanoutOf(result, values.length)).toEqual(expected.fanout);
        expect(result.failures.map(({ index, code, stage }) => ({ index, code, stage }))).toEqual(
          expected.failures,
        );
        for (const { key, headers, timestampMs } of result.batch?.records ?? []) {
          const origin = Number(Buffer.from(key ?? []).toString());
          expect(headers.map((header) => [header.key, header.value[0]])).toEqual([["origin", origin]]);
          expect(timestampMs).toBe(BigInt(-origin));
        }
      },
    ),
    { numRuns: 300 },
  );
});

test("inputs that split late and fail in part are told of both", async () => {
  const result = await kit.raw.transform({
    target: pipelineTarget("chain-6"),
    batch: { records: [{ key: Buffer.from("0"), value: Buffer.from("m3xaxb") }] },
  });
  // The second stage gives `xaxb`, `axb` and `xb`; the third refuses the first and the last.
  expect(readItems(result)).toEqual([{ origin: 0, value: "xb" }]);
  expect(result.fanout).toEqual([1]);
  expect(result.failures.map(({ index, code, stage }) => [index, code, stage])).toEqual([
    [0, "refused", "s3"],
    [0, "refused", "s3"],
  ]);
});
